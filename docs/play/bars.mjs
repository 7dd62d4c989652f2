// How likely the model finds each code to be the next one, at the present temperature, top-k and min-p.

// logits [q] -> the share of each code, [q], 1 in all: as sopilib/native/sample.inc draws.
export function shares(logits, { temperature, topK, minP }) {
  const most = Math.max(...logits), tail = topK ? [...logits].sort((a, b) => b - a)[Math.min(topK, logits.length) - 1] : -Infinity;
  const weights = Float64Array.from(logits, (x) => (x < tail ? 0 : Math.exp((x - most) / temperature)));
  for (let i = 0; i < weights.length; i++) if (weights[i] < minP) weights[i] = 0;
  const sum = weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => weight / sum);
}

export class Bars {
  constructor() {
    this.canvas = document.getElementById('bars');
    this.text = document.getElementById('bars-text');
    this.logits = null;
    this.knobs = { temperature: 1, topK: 0, minP: 0 };
  }

  show(logits) {
    this.logits = logits;
    this.draw();
  }

  turn(knobs) {
    this.knobs = knobs;
    if (this.logits) this.draw();
  }

  // The likeliest is as high as the picture, so that one sees the shape; the text says how likely it is.
  draw() {
    const { canvas } = this, context = canvas.getContext('2d', { alpha: false });
    const likely = shares(this.logits, this.knobs), most = Math.max(...likely), wide = canvas.width / likely.length;
    context.fillStyle = '#0a0d0f';
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.fillStyle = '#ffb454';
    likely.forEach((share, code) => {
      const high = (share / most) * canvas.height;
      context.fillRect(code * wide, canvas.height - high, Math.max(1, wide - 0.5), high);
    });
    const bits = likely.reduce((sum, share) => sum - (share ? share * Math.log2(share) : 0), 0);
    this.text.textContent = `the likeliest has ${(100 * most).toFixed(0)} %, all together ${bits.toFixed(1)} bits`;
  }
}
