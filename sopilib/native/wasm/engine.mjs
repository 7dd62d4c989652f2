// One model that plays by itself, in a page or in Node: the native engine as WebAssembly, and the same codes for a seed.

// Whether WebAssembly has relaxed SIMD here: the smallest module with i32x4.relaxed_dot_i8x16_i7x16_add.
export function hasRelaxed() {
  return WebAssembly.validate(
    new Uint8Array([
      0, 97, 115, 109, 1, 0, 0, 0, 1, 8, 1, 96, 3, 123, 123, 123, 1, 123, 3, 2, 1, 0, 10, 13, 1, 11, 0, 32, 0, 32, 1, 32, 2,
      253, 147, 2, 11,
    ]),
  );
}

// The arrays of a .safetensors file of folded weights, and its metadata.
function readTensors(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = Number(view.getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
  const { __metadata__: metadata, ...tensors } = header;
  for (const [name, tensor] of Object.entries(tensors)) {
    if (tensor.dtype !== "F32") throw new Error(`${name} is ${tensor.dtype}, expected F32`);
    tensor.bytes = bytes.subarray(8 + length + tensor.data_offsets[0], 8 + length + tensor.data_offsets[1]);
  }
  return { metadata, tensors };
}

export class Engine {
  // module: a compiled WebAssembly.Module, plain or relaxed. weights: Uint8Array of the file. precision: f32, int8 or int4.
  static async make(module, weights, precision) {
    const quiet = new Proxy({}, { get: () => () => 52 }); // nothing of a system is there: ENOSYS
    const needed = {};
    for (const { module: from, name } of WebAssembly.Module.imports(module)) (needed[from] ??= {})[name] = quiet[name];
    const instance = await WebAssembly.instantiate(module, needed);
    instance.exports._initialize?.();
    return new Engine(instance.exports, weights, precision);
  }

  constructor(native, weights, precision) {
    this.native = native;
    this.room = 0;
    const { metadata, tensors } = readTensors(weights);
    const config = JSON.parse(metadata.config);
    this.config = config;
    const taken = [];
    const put = (bytes) => {
      const at = native.sopi_take(bytes.byteLength);
      if (!at) throw new Error("there is not enough memory for this model");
      taken.push(at);
      new Uint8Array(native.memory.buffer, at, bytes.byteLength).set(bytes);
      return at;
    };
    const text = (string) => put(new TextEncoder().encode(`${string}\0`));
    const words = (array) => put(new Uint8Array(array.buffer));
    for (const [name, { shape, bytes }] of Object.entries(tensors))
      this.#call("sopi_array", text(name), put(bytes), words(Int32Array.from(shape)), shape.length);
    const numbers = [config.dim, config.mlp_dim, config.q_levels, config.q_zero, config.sample_rate, config.features];
    numbers.push(config.num_rnn_layers, config.rnn_type === "lstm", config.skip_conn, config.gru_reset_after);
    for (const list of [config.frame_sizes, config.sample_relu]) numbers.push(list.length, ...list);
    const coding = Float32Array.from([config.level, ...config.emphasis]);
    this.#call("sopi_make", words(Int32Array.from(numbers, Number)), words(coding), coding.length - 1, text(precision));
    for (const at of taken) native.sopi_give(at);
  }

  #call(name, ...given) {
    try {
      return this.native[name](...given);
    } catch (failure) {
      const memory = new Uint8Array(this.native.memory.buffer, this.native.sopi_fault(), 512);
      const sentence = new TextDecoder().decode(memory.slice(0, memory.indexOf(0)));
      throw sentence ? new Error(sentence) : failure;
    }
  }

  // Starts anew; a BigInt below 2^64.
  seed(seed) {
    this.#call("sopi_seed", BigInt.asIntN(64, seed));
  }

  // Appends codes to the past.
  prime(codes) {
    const at = this.native.sopi_take(codes.length * 4);
    new Int32Array(this.native.memory.buffer, at, codes.length).set(codes);
    this.#call("sopi_prime", at, codes.length);
    this.native.sopi_give(at);
  }

  // The next n samples: { codes: Int32Array, audio: Float32Array }, at config.sample_rate.
  generate(n, { temperature = 1, topK = 0, topP = 1, minP = 0 } = {}) {
    if (this.room < n) {
      if (this.room) this.native.sopi_give(this.memory);
      this.memory = this.native.sopi_take(12 * n);
      this.room = n;
    }
    const at = this.memory;
    new Float32Array(this.native.memory.buffer, at + 8 * n, n).fill(temperature);
    this.#call("sopi_generate", at, at + 4 * n, n, at + 8 * n, topK, topP, minP);
    const { buffer } = this.native.memory;
    return { codes: new Int32Array(buffer, at, n).slice(), audio: new Float32Array(buffer, at + 4 * n, n).slice() };
  }

  // Of the code that was drawn last, [q_levels].
  logits() {
    return new Float32Array(this.native.memory.buffer, this.native.sopi_logits(), this.config.q_levels).slice();
  }
}
