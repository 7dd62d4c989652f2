// A model's file, and its weights as the engine multiplies with them: what sopilib.checkpoint.native and sopilib.model.fold do.

import { Coding } from './coding.mjs';

const LARGE = 1 << 20; // weights of the frame tiers beyond which they are kept in 4 bits, as in sopilib.engine.pack
const LARGEST_HEADER = 4 << 20; // bytes
const USUAL = { // of the fields that a file need not have, as sopilib.Config has them
  q_scale: 0, q_offset: 0, emphasis: [], level: 1, skip_conn: false, sample_rate: 16000, mlp_dim: 0, skip_style: 'output',
  rnn_type: 'gru', num_rnn_layers: 1, q_type: 'mu-law', q_levels: 256, gru_reset_after: true, input_layer: true, features: 0,
  frame_input: 'code', frame_gain: 2, frame_scale: 0, frame_offset: -2, sample_relu: [true, true, false],
};

// ---------------------------------------------------------------- the file

const SIZES = { F32: 4, F16: 2, I8: 1 };

// Uint8Array of a .safetensors file that sopilib wrote -> { config, about, arrays: name -> { shape, data: Float32Array } }.
// Throws an Error of one sentence if it is anything else.
export function readModel(bytes) {
  const { metadata, tensors } = readTensors(bytes);
  if (metadata?.format !== 'sopilib') throw new Error('a safetensors file, but no model of sopilib');
  if (metadata.version !== '1') throw new Error(`written by another sopilib: its version is ${metadata.version}, expected 1`);
  const arrays = {};
  for (const [name, tensor] of Object.entries(tensors)) {
    const scaled = name.endsWith('.scale') && name.slice(0, -6) in tensors;
    if (!scaled) arrays[name] = { shape: tensor.shape, data: floats(name, tensor, tensors[`${name}.scale`]) };
  }
  return { config: checked({ ...USUAL, ...object(metadata, 'config') }), about: object(metadata, 'about'), arrays };
}

function object(metadata, key) {
  try {
    const found = JSON.parse(metadata[key] ?? '{}');
    if (found !== null && typeof found === 'object') return found;
  } catch { /* the same */ }
  throw new Error(`its ${key} is no JSON object: the file is damaged`);
}

// A config of which every field has the type that it needs.
function checked(config) {
  const whole = (x) => Number.isInteger(x) && x > 0;
  for (const name of ['dim', 'q_levels', 'sample_rate', 'num_rnn_layers'])
    if (!whole(config[name])) throw new Error(`its ${name} is ${JSON.stringify(config[name])}, expected a whole number from 1`);
  const { frame_sizes: sizes } = config;
  if (!Array.isArray(sizes) || !sizes.length || !sizes.every(whole))
    throw new Error(`its frame_sizes is ${JSON.stringify(sizes)}, expected a list of whole numbers from 1`);
  const kind = (x) => (Array.isArray(x) ? 'list' : typeof x);
  for (const [name, usual] of Object.entries(USUAL))
    if (kind(config[name]) !== kind(usual)) throw new Error(`its ${name} is ${JSON.stringify(config[name])}, expected a ${kind(usual)}`);
  return config;
}

function readTensors(bytes) {
  const short = `no model's file, or cut short: it has ${bytes.length} bytes`;
  if (bytes.length < 8) throw new Error(short);
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  if (length > Math.min(bytes.length - 8, LARGEST_HEADER)) throw new Error(short);
  let header;
  try {
    header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
  } catch {
    throw new Error("no model's file, or damaged: its header is no JSON");
  }
  if (noObject(header)) throw new Error("no model's file, or damaged: its header is no JSON object");
  const { __metadata__: metadata, ...tensors } = header;
  for (const [name, tensor] of Object.entries(tensors)) {
    if (noObject(tensor) || !Array.isArray(tensor.shape) || !Array.isArray(tensor.data_offsets))
      throw new Error(`${name} is damaged: it has no shape or no place in the file`);
    const [from, to] = tensor.data_offsets;
    if (!Object.hasOwn(SIZES, tensor.dtype)) throw new Error(`${name} is ${tensor.dtype}, expected F32, F16 or I8`);
    if (8 + length + to > bytes.length) throw new Error(`cut short: it has ${bytes.length} bytes, and ${name} ends at ${8 + length + to}`);
    if (to - from !== tensor.shape.reduce((a, b) => a * b, 1) * SIZES[tensor.dtype]) throw new Error(`${name} is damaged: its size is no ${tensor.shape}`);
    tensor.bytes = bytes.slice(8 + length + from, 8 + length + to); // aligned
  }
  return { metadata, tensors };
}

const noObject = (x) => x === null || typeof x !== 'object' || Array.isArray(x);

function floats(name, { dtype, shape, bytes }, scale) {
  const data = dtype === 'I8' ? scaled(name, shape, bytes, scale) : dtype === 'F16' ? halves(bytes) : new Float32Array(bytes.buffer);
  for (let i = 0; i < data.length; i++) if (data[i] - data[i] !== 0) throw new Error(`${name} holds values that are not finite: the file is damaged`);
  return data;
}

function scaled(name, shape, bytes, scale) {
  const columns = shape.at(-1), whole = new Int8Array(bytes.buffer), out = new Float32Array(whole.length);
  if (scale?.bytes.length !== (4 * whole.length) / columns) throw new Error(`${name} is I8, but its scales ${name}.scale are not there`);
  new Float32Array(scale.bytes.buffer).forEach((factor, row) => {
    for (let i = row * columns; i < (row + 1) * columns; i++) out[i] = whole[i] * factor;
  });
  return out;
}

function halves(bytes) {
  const values = new Float32Array(1 << 16);
  for (let bits = 0; bits < values.length; bits++) {
    const sign = bits >> 15 ? -1 : 1, power = (bits >> 10) & 31, part = bits & 1023;
    if (power === 31) values[bits] = part ? NaN : sign * Infinity;
    else values[bits] = sign * (power ? 2 ** (power - 15) * (1 + part / 1024) : part * 2 ** -24);
  }
  const whole = new Uint16Array(bytes.buffer), out = new Float32Array(whole.length);
  for (let i = 0; i < out.length; i++) out[i] = values[whole[i]];
  return out;
}

// ---------------------------------------------------------------- exact folds, in float64

// a [n, k] times b [k, m] -> [n, m]
function times(a, b) {
  const [n, k] = a.shape, m = b.shape[1], data = new Float64Array(n * m);
  fits(a.data, n * k);
  fits(b.data, k * m);
  for (let i = 0; i < n; i++) {
    const row = data.subarray(i * m, (i + 1) * m);
    for (let j = 0; j < k; j++) {
      const x = a.data[i * k + j], other = b.data.subarray(j * m, (j + 1) * m);
      for (let l = 0; l < m; l++) row[l] += x * other[l];
    }
  }
  return { shape: [n, m], data };
}

function fits(data, size) {
  if (data.length !== size) throw new Error(`its weights don't fit its config: ${data.length} numbers, expected ${size}`);
}

function turned({ shape: [n, m], data }) {
  return { shape: [m, n], data: Float64Array.from({ length: n * m }, (_, i) => data[(i % n) * m + Math.floor(i / n)]) };
}

function plus(a, b) {
  fits(b.data, a.data.length);
  return { shape: a.shape, data: Float64Array.from(a.data, (x, i) => x + b.data[i]) };
}

// [n, a] and [n, b] -> [n, a + b]
function beside(a, b) {
  const [n, left] = a.shape, right = b.shape[1], wide = left + right, data = new Float64Array(n * wide);
  for (let i = 0; i < n; i++) {
    data.set(a.data.subarray(i * left, (i + 1) * left), i * wide);
    data.set(b.data.subarray(i * right, (i + 1) * right), i * wide + left);
  }
  return { shape: [n, wide], data };
}

const flat = (array, ...shape) => ({ shape, data: array.data });

// Each tier's input layer goes into the RNN layers that read it.
function foldInput(config, arrays) {
  const take = (name) => {
    const found = arrays[name];
    delete arrays[name];
    return found;
  };
  const tiers = config.frame_sizes.length;
  for (let i = 0; i < tiers; i++) {
    let matrix = take(`tier${i}.input.weight`);
    const features = take(`tier${i}.input.features`), bias = take(`tier${i}.input.bias`);
    if (matrix && features) matrix = beside(matrix, features);
    for (let k = 0; k < config.num_rnn_layers; k++) {
      const rnn = `tier${i}.rnn${k}`, w = take(`${rnn}.input`);
      if (!w) continue;
      arrays[`${rnn}.frame`] = matrix ? times(w, matrix) : w;
      if (matrix && bias) arrays[`${rnn}.bias`] = plus(arrays[`${rnn}.bias`], times(w, flat(bias, bias.data.length, 1)));
      if (i + 1 < tiers) arrays[`${rnn}.condition`] = w;
    }
  }
}

// The layer after the sum of tables and conditioning goes into both, while no ReLU follows the sum and that saves work.
function foldSampleLevel(config, arrays) {
  const relu = [...config.sample_relu];
  let width = config.mlp_dim;
  while (relu.length > 1 && !relu[0]) {
    const w = arrays['sample.layer0.weight'], [out] = w.shape;
    if (out * config.dim > width * config.dim + w.data.length) break;
    foldFirst(arrays, w, arrays['sample.layer0.bias'].data);
    relu.shift();
    width = out;
    relu.forEach((_, k) => {
      for (const part of ['weight', 'bias']) {
        const next = arrays[`sample.layer${k + 1}.${part}`];
        delete arrays[`sample.layer${k}.${part}`];
        if (next) arrays[`sample.layer${k}.${part}`] = next;
      }
    });
  }
  return { ...config, sample_relu: relu, mlp_dim: width };
}

function foldFirst(arrays, w, bias) {
  const [out, wide] = w.shape, back = turned(w);
  const up = arrays['tier0.up.weight'], [r, , dim] = up.shape, data = new Float64Array(r * out * dim);
  for (let k = 0; k < r; k++) {
    const part = { shape: [wide, dim], data: up.data.subarray(k * wide * dim, (k + 1) * wide * dim) };
    data.set(times(w, part).data, k * out * dim);
  }
  arrays['tier0.up.weight'] = { shape: [r, out, dim], data };
  const sums = times(arrays['tier0.up.bias'], back);
  arrays['tier0.up.bias'] = { shape: [r, out], data: sums.data.map((x, i) => x + bias[i % out]) };
  const tables = arrays['sample.tables'], [f, q] = tables.shape;
  arrays['sample.tables'] = flat(times(flat(tables, f * q, wide), back), f, q, out);
}

// What a frame tier sees of each code, float32 [q_levels].
function frameTable(config, values) {
  const { frame_input: input, frame_gain: gain, frame_scale: scale, frame_offset: offset, q_levels: levels } = config;
  if (input === 'audio') return values.map((x) => Math.fround(gain) * x);
  const step = Math.fround(scale || 4 / levels);
  return values.map((_, code) => Math.fround(code * step) + Math.fround(offset));
}

// What readModel gives -> { config, coding, precision, arrays: name -> { shape, data: Float32Array } }, of which an engine is made.
// precision: f32, int8, int4, or auto, which depends on the model alone.
export function folded({ config, arrays: stored }, precision = 'auto') {
  const tiers = Object.entries(stored).filter(([name]) => name.startsWith('tier'));
  const many = tiers.reduce((sum, [, { data }]) => sum + data.length, 0) > LARGE;
  const coding = new Coding(config), values = coding.table(), arrays = { ...stored };
  const whole = { ...config, mlp_dim: config.mlp_dim || config.dim };
  foldInput(whole, arrays);
  const left = foldSampleLevel(whole, arrays);
  for (const [name, array] of Object.entries(arrays))
    arrays[name] = { shape: array.shape, data: new Float32Array(array.data) };
  arrays.seen = { shape: [values.length], data: frameTable(config, values) };
  arrays.decode = { shape: [values.length], data: values };
  return { config: left, coding, arrays, precision: precision !== 'auto' ? precision : many ? 'int4' : 'int8' };
}
