// The page: its controls, and what it says.

import { numberText, slider, toggle } from '../../sopilib/osc/page/controls.js';
import { Bars } from './bars.mjs';
import { ears } from './ears.mjs';
import { Hiss } from './hiss.mjs';
import { draw } from './picture.mjs';
import { Sound } from './sound.mjs';
import { wav } from './wav.mjs';

const MOST = 2n ** 64n - 1n; // of seeds
const DICE = 65536;
const LONGEST_TAKE = 600; // s
const SURE = 200; // ms of computing after which it is known how fast it is, for a browser's clock may be coarse
const AVERAGED = 2000; // ms of computing
const STANDS = 8000; // ms that a line stays
const KNOBS = { // as in sopilib.live.commands
  temperature: { least: 0.2, most: 2, usual: 1 },
  'top-k': { kind: 'int', least: 0, most: 256, usual: 0 },
  'min-p': { least: 0, most: 0.2, usual: 0 },
  gain: { least: 0, most: 1, usual: 1 },
  latency: { kind: 'int', least: 20, most: 500, usual: 100, unit: 'ms' }, // longer than there: a browser stops for longer
};

const $ = (id) => document.getElementById(id);
const asked = new URLSearchParams(location.search);
const about = { gaps: 0, spent: { ms: 0, sound: 0 }, model: null, name: '' };

// ---------------------------------------------------------------- controls

const bars = new Bars();
const sound = new Sound({
  progress: showProgress,
  loaded: showModel,
  failed,
  spent({ ms, sound }, logits) {
    const all = about.spent.ms + ms, kept = Math.min(1, AVERAGED / (all || 1));
    about.spent = { ms: kept * all, sound: kept * (about.spent.sound + sound) };
    bars.show(logits);
    showFigures();
  },
  primed(seconds) {
    showPlay(sound.playing);
    line(`it heard ${seconds.toFixed(1)} s${sound.playing ? ', and plays on' : ''}`);
  },
  gaps(count) {
    about.gaps = count;
    showFigures();
  },
  recorded,
});

const TURNS = {
  temperature: (temperature) => sound.turn({ temperature }),
  'top-k': (topK) => sound.turn({ topK }),
  'min-p': (minP) => sound.turn({ minP }),
  gain: (gain) => sound.setGain(gain),
  latency: (ms) => sound.setLatency(ms / 1000),
};

const knobs = {};
for (const [name, argument] of Object.entries(KNOBS)) {
  const command = { name, arguments: [{ kind: 'float', unit: '', ...argument }] };
  const fader = slider($(name), command, (_, value) => set(name, value), $(`${name}-shown`));
  knobs[name] = { fader, ...argument };
}

function set(name, value) {
  knobs[name].fader.show([value]);
  TURNS[name](value);
  bars.turn(sound.knobs);
}

// Within the knob's range.
function held(name, value) {
  return Math.min(knobs[name].most, Math.max(knobs[name].least, value));
}

const play = toggle($('play'), start);
function showPlay(on) {
  play.show(on);
  $('play').textContent = on ? 'Stop' : 'Play';
}

async function start(on) {
  if (on) hiss.stop();
  showPlay(on);
  try {
    await sound.play(on);
  } catch (failure) {
    showPlay(false);
    line(`no sound: ${failure.message}`);
  }
}

const record = toggle($('record'), keep);
async function keep(on) {
  record.show(on);
  $('record').textContent = on ? 'Stop recording' : 'Record';
  try {
    await sound.record(on);
  } catch (failure) {
    keep(false);
    line(`no recording: ${failure.message}`);
  }
}

async function hear(name, file) {
  hiss.stop();
  line(`it hears ${name}`);
  try {
    await sound.prime(await file.arrayBuffer());
  } catch (failure) {
    line(`it can't hear ${name}: ${failure.message}`);
  }
}
ears({ hear, quiet: () => (hiss.stop(), start(false)), line });
const hiss = new Hiss({ sound, quiet: () => start(false), line });

$('dice').addEventListener('click', () => seed(String(Math.floor(Math.random() * DICE))));
$('again').addEventListener('click', () => sound.begin(sound.seed));
$('seed').addEventListener('change', () => seed($('seed').value.trim()));
$('model').addEventListener('change', () => load($('model').value));
$('own').addEventListener('change', () => {
  const [file] = $('own').files;
  $('own').value = ''; // so that the same file can be chosen again
  if (file) load(file.name, file);
});

// The menu names what is there, also where that is a file of one's own, so that everything else can be chosen.
function showMenu(name) {
  $('own-name')?.remove();
  if (![...$('model').options].some(({ value }) => value === name)) $('model').add(Object.assign(new Option(name), { id: 'own-name' }));
  $('model').value = name;
}

function seed(text) {
  const whole = /^[0-9]+$/.test(text) && BigInt(text) <= MOST;
  line(whole ? '' : `the seed is ${text || 'empty'}, expected a whole number from 0 to ${MOST}`);
  if (whole) sound.begin(BigInt(text));
  $('seed').value = sound.seed;
}

function load(name, file) {
  about.coming = name;
  showProgress(null);
  const url = new URL(`../../models/${name}/${name}.safetensors`, document.baseURI).href;
  sound.load(file ? { file } : { url });
}

// ---------------------------------------------------------------- what is shown

function showProgress(share) {
  $('progress').hidden = false;
  if (share === null) $('progress').removeAttribute('value');
  else $('progress').value = share;
}

function showModel(model) {
  $('progress').hidden = true;
  Object.assign(about, { model, name: about.coming, spent: { ms: 0, sound: 0 } });
  showMenu(about.name);
  hiss.change(model, about.name, !$('own-name'));
  const best = model.about.play ?? {}; // how it is best played, as its file says
  for (const name of ['temperature', 'min-p'])
    if (typeof best[name] === 'number' && !asked.has(name)) set(name, held(name, best[name]));
  $('about').textContent = [model.about.data, model.about.licence].filter((text) => typeof text === 'string').join(' ');
  showFigures();
}

function failed(sentence) {
  $('progress').hidden = true;
  line(`${about.coming}: ${sentence}`);
  if (about.model) showMenu(about.name);
}

function showFigures() {
  const { model, name, spent, gaps } = about;
  if (!model) return;
  const realTime = spent.ms < SURE ? null : spent.sound / spent.ms;
  const slow = realTime !== null && realTime < 1 ? ', too slow to play without gaps here' : '';
  $('figures').textContent = [
    `${name} at ${model.sampleRate} Hz, ${model.precision}, ${model.build} SIMD`,
    ...(realTime === null ? [] : [`${numberText(Number(realTime.toPrecision(2)))} × real time${slow}`]),
    `${gaps} ${gaps === 1 ? 'gap' : 'gaps'}`,
  ].join(' · ');
}

let standing = 0;
function line(text) {
  $('line').textContent = text;
  clearTimeout(standing);
  standing = setTimeout(() => ($('line').textContent = ''), STANDS);
}

let parts = [], takes = 0;
function recorded(frames, isLast) {
  parts.push(frames);
  const rate = sound.context.sampleRate, seconds = parts.reduce((sum, part) => sum + part.length, 0) / rate;
  if (!isLast) {
    if ($('record').getAttribute('aria-pressed') === 'true') $('record').textContent = `Stop recording, ${seconds.toFixed(1)} s`;
    if (seconds > LONGEST_TAKE) keep(false);
    return;
  }
  const url = URL.createObjectURL(wav(parts, rate)), name = `take-${String(++takes).padStart(3, '0')}.wav`;
  parts = [];
  const link = Object.assign(document.createElement('a'), { href: url, download: name, textContent: `${name}, ${seconds.toFixed(1)} s` });
  const player = Object.assign(document.createElement('audio'), { src: url, controls: true });
  player.setAttribute('aria-label', name);
  const row = document.createElement('li');
  row.append(link, player);
  $('takes').append(row);
}

// ---------------------------------------------------------------- from here on it plays

if (isSecureContext) {
  for (const [name, { usual }] of Object.entries(knobs)) {
    const given = Number(asked.get(name) ?? usual);
    set(name, held(name, Number.isFinite(given) ? given : usual));
  }
  seed(asked.get('seed') ?? '0');
  const wanted = [...$('model').options].some(({ value }) => value === asked.get('model')) ? asked.get('model') : 'tabla';
  $('model').value = wanted;
  load(wanted);
  draw(sound);
} else {
  $('line').textContent = `A browser lets a page sound like this only where its address begins with https or is localhost; this one is ${location.origin}.`;
  for (const control of document.querySelectorAll('button, input, select')) control.disabled = true;
  $('progress').hidden = true;
}
