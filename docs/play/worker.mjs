// One model, in a thread of its own: loads it, and keeps so much sound in the ring as the latency says.

import { Engine, hasRelaxed } from '../../sopilib/native/wasm/engine.mjs';
import { Ring, Seam, Sender } from './ring.mjs';

const BLOCK = 128; // frames
const TELL = 100; // ms between two reports

let engine = null, ring = null, rate = 0, playing = false;
let latency = 0.1; // s
let knobs = { temperature: 1, topK: 0, minP: 0 };
let cut = true; // the next frame does not follow on the last one
const seam = new Seam();

// ---------------------------------------------------------------- loading

async function bytesOf({ url, file }) {
  if (file) return new Uint8Array(await file.arrayBuffer());
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`the server has no ${url.split('/').at(-1)} (${answer.status})`);
  const whole = Number(answer.headers.get('content-length')) || 0, parts = [];
  let size = 0;
  for (const reader = answer.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    size += value.length;
    postMessage({ progress: whole ? Math.min(1, size / whole) : null });
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

async function load(wanted) {
  try {
    const build = hasRelaxed() ? 'relaxed' : 'plain';
    const [bytes, code] = await Promise.all([bytesOf(wanted), fetch(new URL(`${build}.wasm`, import.meta.url))]);
    if (!code.ok) throw new Error(`the server has no ${build}.wasm (${code.status})`);
    engine = await Engine.make(await WebAssembly.compile(await code.arrayBuffer()), bytes);
    const { about, config, precision } = engine;
    postMessage({ loaded: { about, config, sampleRate: config.sample_rate, precision, build } });
  } catch (failure) {
    const old = failure instanceof WebAssembly.CompileError;
    postMessage({ failed: old ? 'this browser is too old: it lacks vectors of 128 bits in WebAssembly' : failure.message });
  }
}

// ---------------------------------------------------------------- playing

const next = new MessageChannel(); // so that messages come in between two blocks
next.port1.onmessage = run;

let waits = false;
function run() {
  waits = playing && ring !== null;
  if (!waits) return;
  if (ring.ahead >= latency * rate) setTimeout(run, 3);
  else {
    write();
    next.port2.postMessage(null);
  }
}

const spent = { ms: 0, frames: 0, told: 0 };
function write() {
  const began = performance.now(), frames = engine.play(BLOCK, knobs), now = performance.now();
  if (cut) seam.join(frames[0]);
  cut = false;
  seam.smooth(frames);
  ring.write(frames);
  spent.ms += now - began;
  spent.frames += BLOCK;
  if (now - spent.told < TELL) return;
  postMessage({ spent: { ms: spent.ms, sound: (1000 * spent.frames) / rate }, logits: engine.logits() });
  Object.assign(spent, { ms: 0, frames: 0, told: now });
}

// What waits in the ring is not heard any more, and what comes begins out of silence.
function afresh() {
  ring.clear();
  seam.last = seam.rest = 0;
  cut = true;
}

// ---------------------------------------------------------------- what the page says, once the model is there

const DOES = {
  load,
  // buffer: of the ring. port: to the worklet, where no memory is shared. after: the frame that was written last.
  host({ buffer, port, rate: given, after }) {
    ring = buffer ? new Ring(buffer) : new Sender(port);
    rate = given;
    seam.last = after;
    engine.host(rate, BLOCK);
  },
  knobs: (given) => (knobs = given),
  latency: (seconds) => (latency = seconds),
  seed(given) {
    engine.seed(given);
    cut = true;
  },
  // from silence, or out of it
  play(on) {
    if (on && !playing) afresh();
    playing = on;
  },
  // in the place of the model before
  playing: (on) => (playing = on),
  // The model hears a sound, Float32Array at its own rate, and goes on from there.
  prime(audio) {
    engine.prime(engine.coding.encode(audio));
    afresh();
    postMessage({ primed: audio.length / engine.config.sample_rate });
  },
  retire() {
    playing = false;
    postMessage({ retired: seam.last });
  },
};

self.onmessage = ({ data }) => {
  for (const [what, given] of Object.entries(data)) DOES[what](given);
  if (!waits) run();
};
