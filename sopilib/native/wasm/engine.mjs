// One model that plays by itself, in a page or in Node: the native engine as WebAssembly, and the same codes for a seed.

import { folded, readModel } from './model.mjs';

// The smallest module with i32x4.relaxed_dot_i8x16_i7x16_add: a function of nothing that gives the four lanes of
// (-128, 127, -1, 3, ...) times (15, 0, 7, 15, ...) plus 1000.
// prettier-ignore
const RELAXED = new Uint8Array([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 8, 1, 96, 0, 4, 127, 127, 127, 127, 3, 2, 1, 0, 7, 5, 1, 1, 100, 0, 0,
  10, 85, 1, 83, 1, 1, 123,
  253, 12, ...Array(4).fill([128, 127, 255, 3]).flat(),
  253, 12, ...Array(4).fill([15, 0, 7, 15]).flat(),
  253, 12, ...Array(4).fill([232, 3, 0, 0]).flat(),
  253, 147, 2, 33, 0,
  32, 0, 253, 27, 0, 32, 0, 253, 27, 1, 32, 0, 253, 27, 2, 32, 0, 253, 27, 3, 11,
]);
const SUM = 1000 - 128 * 15 - 7 + 3 * 15;

// Whether WebAssembly has relaxed SIMD here, and its dot products are what they should be: some compilers (Node 20's first)
// sum them wrongly.
export function hasRelaxed() {
  if (!WebAssembly.validate(RELAXED)) return false;
  const { d: dots } = new WebAssembly.Instance(new WebAssembly.Module(RELAXED)).exports;
  return dots().every((sum) => sum === SUM);
}

export class Engine {
  // module: a compiled WebAssembly.Module, plain or relaxed. file: Uint8Array of a model's .safetensors. precision: auto, f32,
  // int8 or int4. Throws an Error of one sentence if that is no model, or can't be played.
  static async make(module, file, precision = 'auto') {
    const quiet = new Proxy({}, { get: () => () => 52 }); // nothing of a system is there: ENOSYS
    const needed = {};
    for (const { module: from, name } of WebAssembly.Module.imports(module)) (needed[from] ??= {})[name] = quiet[name];
    const instance = await WebAssembly.instantiate(module, needed);
    instance.exports._initialize?.();
    return new Engine(instance.exports, readModel(file), precision);
  }

  constructor(native, model, precision) {
    this.native = native;
    this.about = model.about;
    const { config, coding, arrays, precision: chosen } = folded(model, precision);
    this.config = config;
    this.coding = coding;
    this.precision = chosen;
    const taken = [];
    const put = (bytes) => {
      const at = this.#take(bytes.byteLength);
      taken.push(at);
      new Uint8Array(native.memory.buffer, at, bytes.byteLength).set(bytes);
      return at;
    };
    const text = (string) => put(new TextEncoder().encode(`${string}\0`));
    const words = ({ buffer, byteOffset, byteLength }) => put(new Uint8Array(buffer, byteOffset, byteLength));
    for (const [name, { shape, data }] of Object.entries(arrays))
      this.#call('sopi_array', text(name), words(data), words(Int32Array.from(shape)), shape.length);
    const numbers = [config.dim, config.mlp_dim, config.q_levels, coding.zero, config.sample_rate, config.features];
    numbers.push(config.num_rnn_layers, config.rnn_type === 'lstm', config.skip_conn, config.gru_reset_after);
    for (const list of [config.frame_sizes, config.sample_relu]) numbers.push(list.length, ...list);
    const shares = Float32Array.from([coding.level, ...coding.poles]);
    this.#call('sopi_make', words(Int32Array.from(numbers, Number)), words(shares), coding.poles.length, text(chosen));
    for (const at of taken) native.sopi_give(at);
  }

  #take(bytes) {
    const at = this.native.sopi_take(bytes);
    if (!at) throw new Error('there is not enough memory for this model');
    return at;
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

  // The music of a seed from its beginning; a BigInt below 2^64.
  seed(seed) {
    this.#call('sopi_seed', BigInt.asIntN(64, seed));
  }

  // Appends codes to the past.
  prime(codes) {
    const at = this.#take(codes.length * 4);
    new Int32Array(this.native.memory.buffer, at, codes.length).set(codes);
    this.#call('sopi_prime', at, codes.length);
    this.native.sopi_give(at);
  }

  // The next n samples: { codes: Int32Array, audio: Float32Array }, at config.sample_rate.
  generate(n, { temperature = 1, topK = 0, topP = 1, minP = 0 } = {}) {
    const at = this.#take(12 * n);
    new Float32Array(this.native.memory.buffer, at + 8 * n, n).fill(temperature);
    this.#call('sopi_generate', at, at + 4 * n, n, at + 8 * n, topK, topP, minP);
    const { buffer } = this.native.memory;
    const made = { codes: new Int32Array(buffer, at, n).slice(), audio: new Float32Array(buffer, at + 4 * n, n).slice() };
    this.native.sopi_give(at);
    return made;
  }

  // From here on `play` gives sound at this rate, in Hz, at most `most` frames at once.
  host(rate, most) {
    this.#call('sopi_host', rate, most);
    this.frames = this.#take(4 * most);
  }

  // The next n frames at the host's rate, Float32Array. To be copied before the next call.
  play(n, { temperature = 1, topK = 0, topP = 1, minP = 0 } = {}) {
    this.#call('sopi_play', this.frames, n, temperature, topK, topP, minP);
    return new Float32Array(this.native.memory.buffer, this.frames, n);
  }

  // Of the code that was drawn last, [q_levels].
  logits() {
    return new Float32Array(this.native.memory.buffer, this.native.sopi_logits(), this.config.q_levels).slice();
  }
}
