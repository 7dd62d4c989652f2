// What plays: a worker with the model, and the worklet that sounds. It knows no control of the page.

import { Ring } from './ring.mjs';

const SMOOTH = 0.02; // s in which the gain goes over
const LONGEST = 20; // s that a model hears

export class Sound {
  // hears: { progress(share or null), loaded(what), failed(sentence), primed(seconds),
  // spent({ ms of computing, sound: ms of sound }, logits), gaps(count), recorded(frames, isLast) }
  constructor(hears) {
    this.hears = hears;
    this.context = this.node = null;
    this.worker = this.next = this.coming = null; // what plays, what is loaded and takes its place, and what loads
    this.knobs = { temperature: 1, topK: 0, minP: 0 };
    this.seed = 0n;
    this.gain = 1;
    this.latency = 0.1;
    this.playing = this.recording = false;
    this.stops = 0; // how often it was stopped
  }

  // A model by its address, or a File; what plays goes on until it is there.
  load(wanted) {
    this.coming?.terminate();
    const worker = new Worker(new URL('worker.mjs', import.meta.url), { type: 'module' });
    this.coming = worker;
    worker.onmessage = ({ data }) => this.hear(worker, data);
    worker.onerror = (event) => this.hear(worker, { failed: event.message || 'this browser has no workers that are modules' });
    worker.postMessage({ load: wanted });
  }

  hear(worker, { progress, loaded, failed, spent, logits, primed, retired }) {
    if (![this.worker, this.next, this.coming].includes(worker)) return; // it has ended meanwhile
    if (progress !== undefined) this.hears.progress(progress);
    if (spent !== undefined && !this.next) this.hears.spent(spent, logits);
    if (failed !== undefined) {
      worker.terminate();
      for (const place of ['worker', 'next', 'coming']) if (worker === this[place]) this[place] = null;
      if (!this.worker && this.next) this.change(0);
      this.hears.failed(failed);
    }
    if (primed !== undefined) this.node.port.postMessage({ play: this.playing });
    if (primed !== undefined) this.hears.primed(primed);
    if (loaded) {
      worker.sampleRate = loaded.sampleRate;
      this.next?.terminate();
      this.next = worker;
      this.coming = null;
      if (this.worker) this.worker.postMessage({ retire: true });
      else this.change(0);
      this.hears.loaded(loaded);
    }
    if (retired !== undefined && worker === this.worker) {
      worker.terminate();
      this.change(retired);
    }
  }

  // The model that was loaded takes the place of the one before, whose last frame was `after`.
  change(after) {
    this.worker = this.next;
    this.next = null;
    if (!this.node || !this.worker) return;
    this.connect(after);
    this.node.port.postMessage({ play: this.playing }); // the model before may have been listening
  }

  connect(after) {
    const { buffer, context, latency, knobs, seed, worker } = this;
    const { port1, port2 } = new MessageChannel();
    if (!buffer) this.node.port.postMessage({ worker: port1 }, [port1]);
    const host = { rate: context.sampleRate, after, ...(buffer ? { buffer } : { port: port2 }) };
    worker.postMessage({ host, latency, knobs, seed, playing: this.playing }, buffer ? [] : [port2]);
  }

  // The audio thread, when the first button is pressed: a browser lets nothing sound before.
  open() {
    return (this.opened ??= this.#open().catch((failure) => {
      this.opened = null; // so that the next press tries again
      this.playing = false;
      this.context?.close();
      throw failure;
    }));
  }

  async #open() {
    this.context = new AudioContext({ latencyHint: 'interactive' });
    await this.context.audioWorklet.addModule(new URL('worklet.mjs', import.meta.url));
    this.buffer = globalThis.crossOriginIsolated ? new SharedArrayBuffer(Ring.bytes) : null;
    const processorOptions = { buffer: this.buffer, enough: this.enough };
    this.node = new AudioWorkletNode(this.context, 'player', { numberOfInputs: 0, outputChannelCount: [1], processorOptions });
    this.node.port.onmessage = ({ data: { gaps, recorded, last } }) => {
      if (gaps !== undefined) this.hears.gaps(gaps);
      if (recorded) this.hears.recorded(recorded, last);
    };
    this.node.parameters.get('gain').value = this.gain;
    this.analyser = new AnalyserNode(this.context, { fftSize: 2048, minDecibels: -90, maxDecibels: -12, smoothingTimeConstant: 0 });
    this.node.connect(this.analyser).connect(this.context.destination);
    if (this.worker) this.connect(0);
  }

  get enough() {
    return Math.round(this.context.sampleRate * this.latency * 0.8);
  }

  async play(on) {
    this.playing = on;
    if (!on) this.stops++;
    const opened = on ? this.open() : null;
    // at once, as long as the browser knows that a button was pressed; what could not be opened is told by open
    if (on) this.context.resume().catch(() => {});
    await opened;
    this.node?.port.postMessage({ play: this.playing });
    if (this.node) this.worker?.postMessage({ play: this.playing });
  }

  turn(knobs) {
    this.knobs = { ...this.knobs, ...knobs };
    this.worker?.postMessage({ knobs: this.knobs });
  }

  // The music of a seed from its beginning; a BigInt.
  begin(seed) {
    this.seed = seed;
    this.worker?.postMessage({ seed });
  }

  // The model hears what a sound file has, ArrayBuffer, the last of it, and plays on from there.
  async prime(file) {
    const { worker, stops } = this;
    if (!worker) throw new Error('no model is there yet');
    await this.open();
    const whole = await new OfflineAudioContext(1, 1, worker.sampleRate).decodeAudioData(file);
    if (worker !== this.worker || this.next) throw new Error('the model has changed');
    const from = Math.max(0, whole.length - LONGEST * worker.sampleRate), audio = new Float32Array(whole.length - from);
    for (let c = 0; c < whole.numberOfChannels; c++)
      whole.getChannelData(c).subarray(from).forEach((x, i) => (audio[i] += x / whole.numberOfChannels));
    if (stops === this.stops) await this.play(true);
    this.node.port.postMessage({ play: false }); // nothing sounds while it listens, and that is no gap
    worker.postMessage({ seed: this.seed, prime: audio });
  }

  setGain(gain) {
    this.gain = gain;
    this.node?.parameters.get('gain').setTargetAtTime(gain, this.context.currentTime, SMOOTH / 3);
  }

  setLatency(seconds) {
    this.latency = seconds;
    this.worker?.postMessage({ latency: seconds });
    this.node?.port.postMessage({ enough: this.enough });
  }

  async record(on) {
    this.recording = on;
    if (on) await this.open();
    this.node?.port.postMessage({ record: this.recording }); // as it was pressed last
  }
}
