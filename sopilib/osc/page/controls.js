// Controls, each of which shows the instrument's state unless a finger is on it: one has `show(values)`.

export const SMOOTH = { gain: 20, pan: 20, blend: 20, rate: 20 }; // ms of the ramp that a knob's steps get
const NOTES = ['off', '4', '2', '1', '1/2', '1/4', '1/8', '1/12', '1/16'];

// As many decimals as its range needs.
export function rounded(value, least, most) {
  const unit = 10 ** Math.floor(Math.log10((most - least) / 200));
  return Number((Math.round(value / unit) * unit).toPrecision(6));
}

export function numberText(value) {
  return typeof value === 'number' ? String(Number(value.toPrecision(4))) : String(value);
}

export function isNumeric(command) {
  const [a] = command.arguments;
  const numeric = a && ['float', 'level', 'int'].includes(a.kind) && 'least' in a && 'most' in a;
  return Boolean(command.query && numeric && command.arguments.length === 1);
}

export function message(command, value) {
  return command.name in SMOOTH ? [command.name, value, SMOOTH[command.name]] : [command.name, value];
}

// A finger on it, or the keyboard's change a moment ago: then what is told doesn't move it.
class Touch {
  constructor(element) {
    this.down = false;
    this.until = 0;
    element.addEventListener('pointerdown', () => (this.down = true));
    for (const end of ['pointerup', 'pointercancel', 'lostpointercapture', 'change', 'blur']) {
      element.addEventListener(end, () => (this.down = false));
    }
  }
}

// A slider that is there already, or for a knob of the table.
export function slider(input, command, turn, shown) {
  const [a] = command.arguments;
  const touch = new Touch(input);
  input.min = a.least;
  input.max = a.most;
  input.step = a.kind === 'int' ? 1 : 'any';
  let known = a.usual ?? a.least;
  const put = (value) => {
    if (shown) shown.textContent = numberText(value) + (a.unit ? ` ${a.unit}` : '');
    input.setAttribute('aria-valuetext', `${numberText(value)} ${a.unit}`.trim());
  };
  const told = () => {
    input.value = known;
    put(known);
  };
  const value = () => (a.kind === 'int' ? Math.round(Number(input.value)) : rounded(Number(input.value), a.least, a.most));
  input.addEventListener('input', () => {
    put(value());
    turn(command, value());
  });
  for (const end of ['pointerup', 'pointercancel', 'change']) {
    input.addEventListener(end, () => setTimeout(() => !touch.down && told(), 300));
  }
  input.addEventListener('keydown', (event) => {
    const steps = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1, PageUp: 10, PageDown: -10 }[event.key];
    if (!steps) return;
    event.preventDefault();
    const step = a.kind === 'int' ? 1 : (a.most - a.least) / 100;
    input.value = Math.min(a.most, Math.max(a.least, Number(input.value) + steps * step));
    input.dispatchEvent(new Event('input'));
  });
  told();
  return {
    show([now]) {
      known = Number(now);
      if (!touch.down) told();
    },
  };
}

export function choice(select, choices, chosen) {
  fill(select, choices);
  select.addEventListener('change', () => chosen(select.value));
  return {
    show([now]) {
      select.value = String(now);
    },
  };
}

// The options of a menu, left alone if they are these already.
export function fill(select, values, words = values) {
  const made = [...select.options].map((option) => option.value);
  if (made.length === values.length && made.every((value, i) => value === String(values[i]))) return;
  const before = values.map(String).includes(select.value) ? select.value : values[0];
  select.replaceChildren(...values.map((value, i) => new Option(words[i], value)));
  select.value = before;
}

export function toggle(button, press) {
  button.addEventListener('click', () => press(button.getAttribute('aria-pressed') !== 'true'));
  return {
    show(on) {
      button.setAttribute('aria-pressed', String(Boolean(on)));
    },
  };
}

// A control for whatever the table has that is a setting of one value; null for the others.
export function made(command, turn, say) {
  const [a] = command.arguments;
  if (!command.query || command.arguments.length !== 1) return null;
  const row = document.createElement('label');
  row.className = 'knob';
  row.title = command.help;
  row.append(command.name, ' ');
  const add = (tag, properties) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.id = `knob-${command.name}`;
    row.append(element);
    return element;
  };
  if (isNumeric(command)) {
    const input = add('input', { type: 'range' });
    const output = document.createElement('output');
    row.append(' ', output);
    return { row, show: slider(input, command, turn, output).show };
  }
  if (a.kind === 'choice') {
    return { row, show: choice(add('select'), a.choices, (value) => say(command.name, value)).show };
  }
  if (a.kind === 'note') {
    return { row, show: choice(add('select'), NOTES, (value) => say(command.name, value)).show };
  }
  if (a.kind === 'switch') {
    const box = add('input', { type: 'checkbox' });
    box.addEventListener('change', () => say(command.name, box.checked ? 1 : 0));
    return { row, show: ([on]) => (box.checked = Boolean(on)) };
  }
  return null;
}
