// The page: what the server tells is what the controls show; what one touches is said to the server.

import { stayAwake } from './awake.js';
import { choice, fill, made, message, numberText, slider, toggle } from './controls.js';
import { Link } from './link.js';
import { Pad } from './pad.js';
import { Picture } from './picture.js';
import { Snapshots } from './snapshots.js';

const FROZEN = 200; // ms
const SEEDS = 8; // on the seed pad
const DICE = 65536;
const SHOWN_ELSEWHERE = new Set(['freeze', 'voices', 'guard', 'blend', 'blend-mode', 'freewheel', 'listen', 'record', 'score', 'report']);
const STANDS = 8000; // ms that a line stays

const $ = (id) => document.getElementById(id);
const present = new Map(); // of each instance, by number: its name and what it told, by kind
let models = [];
let chosen = 0;

const about = await (await fetch('page.json')).json();
const table = new Map(about.commands.map((c) => [c.name, c]));
const told = () => present.get(chosen)?.told ?? {};
const say = (...words) => link.say(chosen, ...words);
const turn = (command, value) => link.turn(chosen, ...message(command, value));

// ---------------------------------------------------------------- controls

const pad = new Pad(turn, table);
const snapshots = new Snapshots(say);
const picture = new Picture();

const play = toggle($('play'), (on) => say('generate', on ? 1 : 0));
const listen = toggle($('listen'), (on) => (on ? say('listen', 1, $('meanwhile').value) : say('listen', 0)));
const record = toggle($('record'), (on) => say('record', on ? 'start' : 'stop'));
fill($('meanwhile'), ['silence', 'input', 'old']);

$('dice').addEventListener('click', () => say('seed', Math.floor(Math.random() * DICE)));
$('reset').addEventListener('click', () => say('reset'));
$('seed').addEventListener('change', () => {
  const text = $('seed').value.trim();
  if (/^[0-9]+$/.test(text)) say('seed', Number.isSafeInteger(Number(text)) ? Number(text) : text);
  else showSeed();
});
$('voices').addEventListener('change', () => say('voices', Number($('voices').value)));
$('model').addEventListener('change', () => say('load', $('model').value));
$('model2').addEventListener('change', () => say('load2', $('model2').value || 'off'));
$('instance').addEventListener('change', () => choose(Number($('instance').value)));
const guard = choice($('guard'), table.get('guard').arguments[0].choices, (how) => say('guard', how));
const mode = choice($('blend-mode'), table.get('blend-mode').arguments[0].choices, (how) => say('blend-mode', how));
const blend = slider($('blend'), table.get('blend'), turn, $('blend-shown'));

const knobs = new Map();
for (const command of table.values()) {
  const knob = SHOWN_ELSEWHERE.has(command.name) ? null : made(command, turn, say);
  if (knob === null) continue;
  knobs.set(command.name, knob);
  $('knobs').append(knob.row);
}

// ---------------------------------------------------------------- freeze, while it is held

let frozenAt = 0; // the instance that a finger or key freezes
function hold() {
  if (frozenAt || !link.isUp) return;
  frozenAt = chosen;
  link.hold(chosen, 'freeze', FROZEN);
}
function letGo() {
  if (!frozenAt) return;
  link.release(frozenAt, 'freeze', 0);
  frozenAt = 0;
}
const freeze = $('freeze');
let touched = false; // by something that also lets go
freeze.addEventListener('pointerdown', (event) => {
  if (event.button !== 0) return;
  touched = true;
  freeze.setPointerCapture(event.pointerId);
  hold();
});
for (const end of ['pointerup', 'pointercancel', 'lostpointercapture', 'blur']) freeze.addEventListener(end, letGo);
freeze.addEventListener('keydown', (event) => {
  if (event.key !== ' ' && event.key !== 'Enter') return;
  event.preventDefault();
  if (!event.repeat) hold();
});
freeze.addEventListener('keyup', (event) => {
  event.preventDefault(); // no click comes of it
  letGo();
});
for (const end of ['pointerup', 'pointercancel']) freeze.addEventListener(end, () => setTimeout(() => (touched = false), 50));
freeze.addEventListener('click', () => { // of a screen reader, which can't hold
  if (!touched) say('freeze', freeze.getAttribute('aria-pressed') === 'true' ? 0 : FROZEN);
});
freeze.addEventListener('contextmenu', (event) => event.preventDefault());
document.addEventListener('visibilitychange', () => document.visibilityState === 'hidden' && letGo());

// ---------------------------------------------------------------- what is shown

const numbers = Array.from({ length: SEEDS }, () => {
  const button = document.createElement('button');
  button.addEventListener('click', () => say('seed', Number(button.textContent)));
  return button;
});
$('seeds').replaceChildren(...numbers);

function showSeed() {
  const [seed = 0] = told().seed ?? [];
  if (document.activeElement !== $('seed')) $('seed').value = seed;
  const first = typeof seed === 'number' ? seed - (seed % SEEDS) : 0;
  numbers.forEach((button, i) => {
    button.textContent = first + i;
    button.setAttribute('aria-pressed', String(first + i === seed));
  });
}

function showModels() {
  const now = told();
  const menu = (select, name, none) => {
    const known = name === undefined || models.includes(name) ? models : [name, ...models];
    fill(select, ['', ...known], [none, ...known]);
    select.value = name ?? '';
  };
  menu($('model'), now.model?.[0], 'none');
  menu($('model2'), now.model2?.[0] === 'off' ? undefined : now.model2?.[0], 'none');
}

function show() {
  const now = told();
  pad.show(now);
  snapshots.show(now.slots ?? []);
  play.show(now.playing?.[0]);
  $('play').textContent = now.playing?.[0] ? 'Stop' : 'Play';
  freeze.setAttribute('aria-pressed', String(Boolean(now.freeze?.[0])));
  listen.show(now.listen?.[0]);
  const recording = now.record?.[0] === 'start';
  record.show(recording);
  $('record').textContent = recording ? `Stop recording ${now.record[1] ?? ''}`.trim() : 'Record';
  if (now.guard) guard.show(now.guard);
  if (now['blend-mode']) mode.show(now['blend-mode']);
  if (now.blend) blend.show(now.blend);
  if (document.activeElement !== $('voices')) $('voices').value = now.voices?.[0] ?? 1;
  for (const [name, knob] of knobs) if (now[name]) knob.show(now[name]);
  showSeed();
  showModels();
  showFigures(now);
}

function showFigures(now) {
  const some = (values, words) => (values ? [`${numberText(values[0])} ${words}`] : []);
  $('figures').textContent = [
    ...(now.loading ? [`loading ${now.loading[0]}`] : []),
    ...(now.model ? [`${now.model[0]} at ${now.model[1]} Hz`] : ['no model']),
    ...some(now.rtf, '× real time'),
    ...some(now.late, 'late'),
    ...some(now.underruns, 'underruns'),
  ].join(' · ');
}

let standing = 0;
function line(text) {
  $('line').textContent = text;
  clearTimeout(standing);
  standing = setTimeout(() => ($('line').textContent = ''), STANDS);
}

function choose(number) {
  letGo();
  chosen = number;
  picture.clear();
  link.look(number);
  show();
}

// ---------------------------------------------------------------- what the server tells

const SAID = { recorded: (file, s) => `recorded ${file}, ${s} s`, primed: (name) => `heard ${name}`, trap: (v, what) => `voice ${v}: ${what}` };
const link = new Link({
  up() {
    document.body.classList.remove('lost');
    $('link').textContent = 'connected';
  },
  down() {
    frozenAt = 0;
    document.body.classList.add('lost');
    $('link').textContent = 'connection lost, trying again';
    picture.clear();
  },
  whole(everything) {
    models = everything.models;
    present.clear();
    for (const instance of everything.instances) present.set(instance.number, instance);
    const all = everything.instances;
    fill($('instance'), all.map((i) => i.number), all.map((i) => i.name || String(i.number)));
    $('instance-row').hidden = all.length < 2;
    choose(present.has(chosen) ? chosen : (all[0]?.number ?? 0));
    $('instance').value = chosen;
  },
  told(changed) {
    for (const [number, kinds] of Object.entries(changed)) {
      const instance = present.get(Number(number));
      if (!instance) continue;
      Object.assign(instance.told, kinds);
      if (kinds.loaded) {
        instance.told.model = kinds.loaded;
        delete instance.told.loading;
      }
      if (kinds.loaded2) instance.told.model2 = kinds.loaded2;
      if (kinds.error) delete instance.told.loading;
      if (kinds.models && Number(number) === chosen) models = kinds.models;
      const what = Object.keys(SAID).find((kind) => kinds[kind]);
      const words = kinds.error ?? kinds.warning ?? (what ? [SAID[what](...kinds[what])] : null);
      if (words) line(present.size > 1 ? `${instance.name || number}: ${words[0]}` : words[0]);
    }
    show();
  },
  error: line,
  column(bytes) {
    if (bytes[0] === chosen % 256) picture.add(bytes[1], bytes.subarray(2));
  },
});

if (about.there !== undefined && ['localhost', '127.0.0.1', '[::1]'].includes(location.hostname)) {
  $('phone-part').hidden = false;
  if (about.there) {
    const code = Object.assign(document.createElement('img'), { src: 'code.svg', alt: 'The address as a QR code' });
    const address = Object.assign(document.createElement('p'), { textContent: about.there });
    address.className = 'address';
    $('phone').append(code, address);
  } else {
    $('phone').textContent = 'Only this machine can reach the page. To open it to your network: sopi serve MODEL --web --web-host 0.0.0.0, or in Pd the message web 9000 0.0.0.0.';
  }
}
stayAwake();
