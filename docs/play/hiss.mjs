// What pre-emphasis does to hiss: a recording as it is, and as the model's coding gives it back, without emphasis and with it.

import { toggle } from '../../sopilib/osc/page/controls.js';
import { CENTRED, Coding } from '../../sopilib/native/wasm/coding.mjs';

const LONGEST = 10; // s of a recording
const POLE = 0.85; // of a model without emphasis, to hear what it would do
const PEAK = 10 ** (-1 / 20); // of what is coded with it, as in sopilib.train.coding
const HIGH = 4000; // Hz above which noise is hiss
const TAPS = 128; // to each side

// The config of the coding without emphasis and with it. Of one of them the model is coded itself.
export function codings(config, audio) {
  const without = { ...config, emphasis: [], level: 1 };
  if (config.emphasis.length) return { without, with: config };
  const wanted = { ...config, q_type: CENTRED.includes(config.q_type) ? config.q_type : 'mu-law-centred', emphasis: [POLE] };
  const peak = audio.reduce((most, x, i) => Math.max(most, Math.abs(x - (i ? POLE * audio[i - 1] : 0))), 0);
  return { without: config, with: { ...wanted, level: peak / PEAK || 1 } };
}

// Float32Array at the model's rate -> the same sound, once coded: Float32Array.
export function coded(audio, config) {
  const coding = new Coding(config);
  return coding.decode(coding.encode(audio));
}

// How loud it is above HIGH, or in the upper half of what there is, in dB below full scale.
export function hiss(audio, rate) {
  const turn = (2 * Math.PI * Math.min(HIGH, rate / 4)) / rate; // of the filter's edge, per sample
  const taps = Float64Array.from({ length: 2 * TAPS + 1 }, (_, i) => {
    const n = i - TAPS, low = n ? Math.sin(turn * n) / (Math.PI * n) : turn / Math.PI;
    return ((n ? 0 : 1) - low) * Math.cos((Math.PI * n) / (2 * TAPS + 2)) ** 2;
  });
  let power = 0;
  for (let at = 2 * TAPS; at < audio.length; at++) {
    let high = 0;
    for (let i = 0; i < taps.length; i++) high += taps[i] * audio[at - i];
    power += high * high;
  }
  return 10 * Math.log10(power / Math.max(1, audio.length - 2 * TAPS) + 1e-12);
}

const WAYS = ['recording', 'without', 'with'];

export class Hiss {
  // sound: what plays; quiet(): the model is not to sound; line(sentence)
  constructor({ sound, quiet, line }) {
    Object.assign(this, { sound, quiet, line });
    this.model = this.made = null; // made: by way, its sound
    this.file = null; // of one's own
    this.wishes = 0; // how often something was wished
    this.buttons = {};
    for (const way of WAYS) this.buttons[way] = toggle(document.getElementById(`hiss-${way}`), (on) => this.hear(on ? way : null));
    const own = document.getElementById('hiss-file');
    own.addEventListener('change', () => {
      const [file] = own.files;
      own.value = ''; // so that the same file can be chosen again
      if (!file) return;
      this.file = file;
      this.forget();
      this.hear('recording');
    });
  }

  // Another model is there. shipped: the page has a recording that it never learnt from.
  change(model, name, shipped) {
    Object.assign(this, { model, name, shipped });
    this.forget();
  }

  forget() {
    this.made = null;
    this.stop();
    document.getElementById('hiss-text').textContent = '';
  }

  stop() {
    this.wishes++;
    this.sound.loop(null);
    for (const button of Object.values(this.buttons)) button.show(false);
  }

  async hear(way) {
    if (!way) return this.stop();
    const wish = ++this.wishes;
    for (const [each, button] of Object.entries(this.buttons)) button.show(each === way);
    try {
      this.quiet();
      const opened = this.sound.wake(), made = this.made ?? (await this.make());
      await opened;
      if (wish !== this.wishes) return;
      this.made = made;
      document.getElementById('hiss-text').textContent = made.text;
      this.sound.loop(made[way], this.model.sampleRate);
    } catch (failure) {
      if (wish === this.wishes) this.stop();
      this.line(`no recording: ${failure.message}`);
    }
  }

  async make() {
    const { model, name } = this;
    if (!model) throw new Error('no model is there yet');
    const { config, sampleRate: rate } = model, recording = (await this.sound.read(await this.bytes(), rate)).slice(0, LONGEST * rate);
    const ways = codings(config, recording), made = { recording };
    for (const way of ['without', 'with']) made[way] = coded(recording, ways[way]);
    const noise = (way) => hiss(made[way].map((x, i) => x - recording[i]), rate).toFixed(1).replace('-', '−');
    made.text = [
      `Above ${Math.min(HIGH, rate / 4) / 1000} kHz, ${config.q_levels} levels add noise of ${noise('without')} dB without emphasis and of ${noise('with')} dB with it.`,
      config.emphasis.length ? `${name} itself is coded with it.` : `${name} itself has none.`,
    ].join(' ');
    return made;
  }

  async bytes() {
    if (this.file) return this.file.arrayBuffer();
    if (!this.shipped) throw new Error('choose a sound file, for this model comes without one');
    const answer = await fetch(new URL(`../../tests/fixtures/${this.name}_held_out.flac`, document.baseURI));
    if (!answer.ok) throw new Error(`the server has none of ${this.name} (${answer.status})`);
    return answer.arrayBuffer();
  }
}
