// Audio to codes and back, as sopilib.model.quantise has it: the quantisers of new models, and those of older systems.

const f32 = Math.fround;
const A_LAW = 87.6; // as the telephone standard has it

// To the nearest whole number, halves to the even one.
function rint(x) {
  const low = Math.floor(x);
  return x - low === 0.5 ? low + (low % 2 === 0 ? 0 : 1) : Math.round(x);
}

const bins = (eps, round) => ({
  encode: (x, { levels }) => Math.trunc(round(round(round((x + 1) / 2) * round(levels - eps)) + round(eps / 2))),
  decode: (code, { levels }) => code / (levels / 2) - 1,
});
const same = (x) => x;
const compressed = (x, levels) => (Math.sign(x) * Math.log1p((levels - 1) * Math.abs(x))) / Math.log(levels);
const expanded = (y, levels) => (Math.sign(y) * (levels ** Math.abs(y) - 1)) / (levels - 1);
const middle = ({ levels }) => Math.floor(levels / 2);
const half = (c) => Math.max(c.levels - 1 - middle(c), 1); // steps from silence to full scale
const share = (code, c) => Math.min(1, Math.max(-1, (code - middle(c)) / half(c)));

export const CENTRED = ['mu-law-centred', 'a-law', 'linear']; // whose silence is exactly 0, as emphasis needs it

export const QUANTISERS = {
  'mu-law': {
    encode: (x, { levels }) => Math.floor(((compressed(x, levels) + 1) / 2) * (levels - 1) + 0.5),
    decode(code, { levels }) { // in float32
      const mu = levels - 1, y = f32(2 * f32(code / mu) - 1);
      const magnitude = f32(f32(f32(levels ** Math.abs(y)) - 1) * f32(1 / mu));
      return Math.sign(y) * Math.min(magnitude, 1);
    },
  },
  'mu-law-centred': {
    encode: (x, c) => rint(compressed(x, c.levels) * half(c)) + middle(c),
    decode: (code, c) => expanded(share(code, c), c.levels),
  },
  'a-law': {
    encode(x, c) {
      const loud = A_LAW * Math.abs(x), y = (loud < 1 ? loud : 1 + Math.log(loud)) / (1 + Math.log(A_LAW));
      return rint(Math.sign(x) * y * half(c)) + middle(c);
    },
    decode(code, c) {
      const y = share(code, c), loud = Math.abs(y) * (1 + Math.log(A_LAW));
      return (Math.sign(y) * (loud < 1 ? loud : Math.exp(loud - 1))) / A_LAW;
    },
  },
  linear: { encode: (x, c) => rint(x * half(c)) + middle(c), decode: share },
  'linear-prism': bins(1e-5, f32),
  'mu-law-theano': {
    encode: (x, { levels }) => Math.trunc(((compressed(x, levels) + 1) / 2) * (levels - 1)),
    decode: (code, c) => expanded((2 * (code - middle(c))) / c.levels, c.levels),
  },
  'linear-theano': bins(1e-5, same),
  'linear-deepsound': bins(0.01, f32),
  affine: {
    encode: (x, { scale, offset }) => Math.trunc(f32(f32(x) / f32(scale))) - offset,
    decode: (code, { scale, offset }) => f32(code + offset) * f32(scale),
  },
};

// How a model writes audio as codes; config: with every field.
export class Coding {
  constructor(config) {
    this.kind = QUANTISERS[config.q_type];
    this.levels = config.q_levels;
    this.scale = config.q_scale;
    this.offset = config.q_offset;
    this.level = config.level;
    this.poles = config.emphasis;
    const affine = Math.min(Math.max(-this.offset, 0), this.levels - 1);
    this.zero = config.q_type === 'affine' ? affine : middle(this); // the code of silence
  }

  // The audio value of each code, float32 [levels].
  table() {
    return Float32Array.from({ length: this.levels }, (_, code) => this.kind.decode(code, this));
  }

  // Codes of a whole take -> Float32Array, as sopilib/native/coding.hpp undoes emphasis.
  decode(codes) {
    const values = this.table(), level = f32(this.level), poles = this.poles.map(f32), memory = poles.map(() => 0);
    return Float32Array.from(codes, (code) => {
      let y = values[code];
      if (!poles.length) return f32(level * y);
      poles.forEach((a, k) => {
        y = f32(y + f32(a * memory[k]));
        if (Math.abs(y) < f32(1e-15)) y = 0; // silence ends
        memory[k] = y;
      });
      return Math.min(1, Math.max(-1, f32(level * y)));
    });
  }

  // Float32Array of a whole take at the model's rate -> Int32Array
  encode(audio) {
    const before = this.poles.map(() => 0);
    return Int32Array.from(audio, (sample) => {
      const plain = this.level === 1 && !this.poles.length;
      let x = plain ? sample : f32(f32(sample) / f32(this.level));
      this.poles.forEach((a, k) => {
        const expected = f32(f32(a) * before[k]);
        before[k] = x;
        x = f32(x - expected);
      });
      const code = this.kind.encode(Math.min(1, Math.max(-1, x || 0)), this);
      return Math.min(this.levels - 1, Math.max(0, code));
    });
  }
}
