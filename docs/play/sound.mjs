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
    this.looped = null; // what sounds in the place of the model
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
    this.volume = new GainNode(this.context, { gain: this.gain });
    this.volume.connect(this.analyser);
    if (this.worker) this.connect(0);
  }

  get enough() {
    return Math.round(this.context.sampleRate * this.latency * 0.8);
  }

  // To be called at once, as long as the browser knows that a button was pressed.
  wake() {
    const opened = this.open();
    this.context.resume().catch(() => {}); // what could not be opened is told by open
    return opened;
  }

  async play(on) {
    this.playing = on;
    if (!on) this.stops++;
    if (on) await this.wake();
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
    const audio = (await this.read(file, worker.sampleRate)).slice(-LONGEST * worker.sampleRate);
    if (worker !== this.worker || this.next) throw new Error('the model has changed');
    if (stops === this.stops) await this.play(true);
    this.node.port.postMessage({ play: false }); // nothing sounds while it listens, and that is no gap
    worker.postMessage({ seed: this.seed, prime: audio });
  }

  // What a sound file has, ArrayBuffer, as one channel at this rate: Float32Array.
  async read(file, rate) {
    const found = await new OfflineAudioContext(1, 1, rate).decodeAudioData(file), audio = new Float32Array(found.length);
    for (let c = 0; c < found.numberOfChannels; c++) found.getChannelData(c).forEach((x, i) => (audio[i] += x / found.numberOfChannels));
    return audio;
  }

  // A sound over and over, Float32Array at `rate`, from where the one before it had come to; null: none any more. After `wake`.
  loop(frames, rate) {
    const { context, looped } = this, now = context?.currentTime;
    looped?.fade.gain.setTargetAtTime(0, now, SMOOTH / 3);
    looped?.source.stop(now + 5 * SMOOTH);
    this.looped = null;
    if (!frames) return;
    const buffer = new AudioBuffer({ length: frames.length, sampleRate: rate }), began = looped?.began ?? now;
    buffer.copyToChannel(frames, 0);
    const source = new AudioBufferSourceNode(context, { buffer, loop: true }), fade = new GainNode(context, { gain: 0 });
    source.connect(fade).connect(this.volume);
    source.start(now, (now - began) % buffer.duration);
    fade.gain.setTargetAtTime(1, now, SMOOTH / 3);
    this.looped = { source, fade, began };
  }

  setGain(gain) {
    this.gain = gain;
    for (const knob of [this.node?.parameters.get('gain'), this.volume?.gain])
      knob?.setTargetAtTime(gain, this.context.currentTime, SMOOTH / 3);
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
