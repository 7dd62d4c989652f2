// A model's file, and its weights as the engine multiplies with them: what sopilib.checkpoint.native and sopilib.model.fold do.

import { CENTRED, Coding, QUANTISERS } from './coding.mjs';

const LARGE = 1 << 20; // weights of the frame tiers beyond which they are kept in 4 bits, as in sopilib.engine.pack
const LARGEST_HEADER = 4 << 20; // bytes

// ---------------------------------------------------------------- the config, as sopilib.Config has it

const whole = (least, most) => ({ fits: (x) => Number.isInteger(x) && x >= least && x <= most, as: `a whole number from ${least} to ${most}` });
const number = (least, most) => ({ fits: (x) => typeof x === 'number' && x >= least && x <= most, as: `a number from ${least} to ${most}` });
const oneOf = (...words) => ({ fits: (x) => words.includes(x), as: words.join(' or ') });
const list = (least, most, of) => ({
  fits: (x) => Array.isArray(x) && x.length >= least && x.length <= most && x.every(of.fits),
  as: `a list of ${least} to ${most}, each ${of.as}`,
});
const flag = oneOf(true, false);

// Each field: what it may be, and what it is where a file lacks it.
const FIELDS = {
  frame_sizes: [list(1, 17, whole(1, 1 << 16)), [16, 64]],
  dim: [whole(1, 1 << 14), 1024],
  mlp_dim: [whole(0, 1 << 14), 0],
  q_levels: [whole(2, 4096), 256],
  sample_rate: [whole(1, 1 << 20), 16000],
  rnn_type: [oneOf('gru', 'lstm'), 'gru'],
  num_rnn_layers: [whole(1, 64), 1],
  gru_reset_after: [flag, true],
  skip_conn: [flag, false],
  skip_style: [oneOf('output', 'full'), 'output'],
  input_layer: [flag, true],
  features: [whole(0, 1 << 12), 0],
  q_type: [oneOf(...Object.keys(QUANTISERS)), 'mu-law'],
  q_scale: [number(-1e3, 1e3), 0],
  q_offset: [whole(-(1 << 20), 1 << 20), 0],
  emphasis: [list(0, 2, number(0, 0.999)), []], // of 0: none
  level: [number(1e-6, 1e6), 1],
  frame_input: [oneOf('code', 'audio'), 'code'],
  frame_gain: [number(1e-6, 1e6), 2],
  frame_scale: [number(-1e6, 1e6), 0],
  frame_offset: [number(-1e6, 1e6), -2],
  sample_relu: [list(1, 65, flag), [true, true, false]],
  // which playing does not need
  seq_len: [whole(0, 1 << 20), 0],
  emb_size: [whole(0, Infinity), 0],
  log_softmax: [flag, false],
  rnn_dropout: [{ fits: () => true }, 0],
};

// A config with every field, each as it has to be.
function checked(given) {
  const need = (fits, name, as) => {
    if (!fits) throw new Error(`its ${name} is ${String(JSON.stringify(given[name])).slice(0, 60)}, expected ${as}`);
  };
  const unknown = Object.keys(given).find((name) => !Object.hasOwn(FIELDS, name));
  if (unknown !== undefined) throw new Error(`its config has a field ${unknown}, which sopilib does not know`);
  const config = {};
  for (const [name, [kind, usual]] of Object.entries(FIELDS)) {
    const value = Object.hasOwn(given, name) ? given[name] : usual;
    config[name] = name === 'rnn_type' && typeof value === 'string' ? value.toLowerCase() : value;
    need(kind.fits(config[name]), name, kind.as);
  }
  config.mlp_dim ||= config.dim;
  config.frame_scale ||= 4 / config.q_levels;
  config.emphasis = config.emphasis.filter((a) => a !== 0);
  const { emphasis, frame_sizes: sizes, q_levels: levels, q_type: type } = config;
  need(sizes.every((n, i) => i === 0 || (n > sizes[i - 1] && n % sizes[i - 1] === 0)), 'frame_sizes', 'ascending sizes, each a multiple of the one before');
  need(!emphasis.length || CENTRED.includes(type), 'q_type', `${CENTRED.join(' or ')} with emphasis`);
  need(type !== 'affine' || Math.abs(config.q_scale) > 1e-9, 'q_scale', 'the size of a step of audio');
  need(!config.features || config.input_layer || sizes.length > 1, 'features', '0 without an input layer');
  need(config.sample_relu.length > 1 || config.mlp_dim === levels, 'mlp_dim', `${levels}, as many as q_levels, without layers in the sample level`);
  return config;
}

// The shape of every weight by its name, as sopilib.model.shapes gives it.
function shapes(config) {
  const { dim, frame_sizes: sizes, mlp_dim: width, q_levels: levels, sample_relu: relu, skip_conn: skip } = config;
  const lstm = config.rnn_type === 'lstm', rows = (lstm ? 4 : 3) * dim, out = {};
  sizes.forEach((n, i) => {
    const tier = `tier${i}`, input = config.input_layer || i + 1 < sizes.length, parts = i ? n / sizes[i - 1] : n;
    if (input) Object.assign(out, { [`${tier}.input.weight`]: [dim, n], [`${tier}.input.bias`]: [dim] });
    if (i === 0 && config.features) out[`${tier}.input.features`] = [dim, config.features];
    for (let k = 0; k < config.num_rnn_layers; k++) {
      const rnn = `${tier}.rnn${k}`;
      if (k === 0 || (skip && config.skip_style === 'full')) out[`${rnn}.input`] = [rows, input ? dim : n];
      if (k) out[`${rnn}.below`] = [rows, dim];
      out[`${rnn}.recurrent`] = [rows, dim];
      out[`${rnn}.bias`] = [rows];
      if (!lstm && config.gru_reset_after) out[`${rnn}.candidate`] = [dim];
      out[`${rnn}.initial`] = [lstm ? 2 * dim : dim];
      if (skip) out[`${rnn}.output`] = [dim, dim];
    }
    if (skip) out[`${tier}.output_bias`] = [dim];
    out[`${tier}.up.weight`] = [parts, i ? dim : width, dim];
    out[`${tier}.up.bias`] = [parts, i ? dim : width];
  });
  out['sample.tables'] = [sizes[0], levels, width];
  relu.slice(1).forEach((_, k) => {
    const high = k === relu.length - 2 ? levels : width;
    out[`sample.layer${k}.weight`] = [high, width];
    out[`sample.layer${k}.bias`] = [high];
  });
  return out;
}

// ---------------------------------------------------------------- the file

const SIZES = { F32: 4, F16: 2, I8: 1 };

// Uint8Array of a .safetensors file that sopilib wrote -> { config, about, arrays: name -> { shape, data: Float32Array } }.
// Throws an Error of one sentence if it is anything else.
export function readModel(bytes) {
  const { metadata, tensors } = readTensors(bytes);
  if (metadata.format !== 'sopilib') throw new Error('a safetensors file, but no model of sopilib');
  if (metadata.version !== '1') throw new Error(`written by another sopilib: its version is ${metadata.version}, expected 1`);
  const config = checked(object(metadata, 'config')), arrays = {};
  for (const [name, shape] of Object.entries(shapes(config))) {
    const tensor = tensors[name];
    if (!tensor) throw new Error(`its weight ${name} is missing: its weights don't fit its config`);
    if (String(tensor.shape) !== String(shape)) throw new Error(`${name} has shape [${tensor.shape}], expected [${shape}]`);
    arrays[name] = { shape, data: floats(name, tensor, tensors[`${name}.scale`]) };
  }
  const unknown = Object.keys(tensors).find((name) => !Object.hasOwn(arrays, name.replace(/\.scale$/, '')));
  if (unknown !== undefined) throw new Error(`its weight ${unknown} is unknown: its weights don't fit its config`);
  return { config, about: object(metadata, 'about'), arrays };
}

function object(metadata, key) {
  try {
    const found = JSON.parse(metadata[key] ?? '{}');
    if (!noObject(found)) return found;
  } catch { /* the same */ }
  throw new Error(`its ${key} is no JSON object: the file is damaged`);
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
  const { __metadata__: metadata = {}, ...tensors } = header;
  if (noObject(metadata) || !Object.values(metadata).every((text) => typeof text === 'string'))
    throw new Error("no model's file, or damaged: its metadata are not texts");
  for (const [name, tensor] of Object.entries(tensors)) {
    if (noObject(tensor) || !Array.isArray(tensor.shape) || !Array.isArray(tensor.data_offsets))
      throw new Error(`${name} is damaged: it has no shape or no place in the file`);
    const [from, to] = tensor.data_offsets;
    if (!Object.hasOwn(SIZES, tensor.dtype)) throw new Error(`${name} is ${tensor.dtype}, expected F32, F16 or I8`);
    if (!(Number.isInteger(from) && Number.isInteger(to) && from >= 0)) throw new Error(`${name} is damaged: its place in the file is ${from} to ${to}`);
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
  if (scale?.dtype !== 'F32' || String(scale.shape) !== String([...shape.slice(0, -1), 1])) throw new Error(`${name} is I8, but its scales ${name}.scale are not there`);
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
  for (let i = 0; i < n; i++) {
    const row = data.subarray(i * m, (i + 1) * m);
    for (let j = 0; j < k; j++) {
      const x = a.data[i * k + j], other = b.data.subarray(j * m, (j + 1) * m);
      for (let l = 0; l < m; l++) row[l] += x * other[l];
    }
  }
  return { shape: [n, m], data };
}

function turned({ shape: [n, m], data }) {
  return { shape: [m, n], data: Float64Array.from({ length: n * m }, (_, i) => data[(i % n) * m + Math.floor(i / n)]) };
}

function plus(a, b) {
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
  const { frame_input: input, frame_gain: gain, frame_scale: scale, frame_offset: offset } = config;
  if (input === 'audio') return values.map((x) => Math.fround(gain) * x);
  const step = Math.fround(scale);
  return values.map((_, code) => Math.fround(code * step) + Math.fround(offset));
}

// What readModel gives -> { config, coding, precision, arrays: name -> { shape, data: Float32Array } }, of which an engine is made.
// precision: f32, int8, int4, or auto, which depends on the model alone.
export function folded({ config, arrays: stored }, precision = 'auto') {
  const tiers = Object.entries(stored).filter(([name]) => name.startsWith('tier'));
  const many = tiers.reduce((sum, [, { data }]) => sum + data.length, 0) > LARGE;
  const coding = new Coding(config), values = coding.table(), arrays = { ...stored };
  foldInput(config, arrays);
  const left = foldSampleLevel(config, arrays);
  for (const [name, array] of Object.entries(arrays))
    arrays[name] = { shape: array.shape, data: new Float32Array(array.data) };
  arrays.seen = { shape: [values.length], data: frameTable(config, values) };
  arrays.decode = { shape: [values.length], data: values };
  return { config: left, coding, arrays, precision: precision !== 'auto' ? precision : many ? 'int4' : 'int8' };
}
