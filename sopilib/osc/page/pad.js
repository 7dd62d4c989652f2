// The large pad: temperature across, a knob of one's choice up.

import { isNumeric, numberText, rounded, slider } from './controls.js';

const KEPT = 'sopilib-pad-up';

export class Pad {
  // turn(command, value); table: by name
  constructor(turn, table) {
    this.turn = turn;
    this.element = document.getElementById('pad');
    this.dot = document.getElementById('pad-dot');
    this.told = {};
    this.down = false;
    this.x = this.axis('pad-x', table.get('temperature'));
    this.choose([...table.values()].filter((c) => isNumeric(c) && c.name !== 'temperature'));
    this.element.addEventListener('pointerdown', (event) => this.press(event));
    this.element.addEventListener('pointermove', (event) => this.down && this.move(event));
    for (const end of ['pointerup', 'pointercancel']) {
      this.element.addEventListener(end, () => {
        this.down = false;
        setTimeout(() => this.draw(), 300);
      });
    }
    addEventListener('resize', () => this.draw());
  }

  axis(id, command) {
    const old = document.getElementById(id);
    const input = old.cloneNode(); // without the listeners of the knob before
    old.replaceWith(input);
    input.setAttribute('aria-label', command.name);
    const fader = slider(input, command, (c, value) => {
      this.now[c.name] = value;
      this.place();
      this.turn(c, value);
    });
    return { command, fader, a: command.arguments[0] };
  }

  choose(commands) {
    const select = document.getElementById('pad-choice');
    select.replaceChildren(...commands.map((c) => new Option(c.name, c.name)));
    let kept = 'gain';
    try {
      kept = localStorage.getItem(KEPT) ?? kept;
    } catch { /* a browser that keeps nothing */ }
    const set = (name) => {
      const command = commands.find((c) => c.name === name) ?? commands.find((c) => c.name === 'gain');
      select.value = command.name;
      this.y = this.axis('pad-y', command);
      this.draw();
    };
    select.addEventListener('change', () => {
      try {
        localStorage.setItem(KEPT, select.value);
      } catch { /* the same */ }
      set(select.value);
    });
    set(kept);
  }

  press(event) {
    if (event.button !== 0) return;
    this.element.setPointerCapture(event.pointerId);
    this.down = true;
    this.move(event);
  }

  move(event) {
    const box = this.element.getBoundingClientRect();
    const margin = this.dot.offsetWidth / 2;
    const share = (at, from, size) => Math.min(1, Math.max(0, (at - from - margin) / (size - 2 * margin)));
    this.set(this.x, share(event.clientX, box.left, box.width));
    this.set(this.y, 1 - share(event.clientY, box.top, box.height));
    this.place();
  }

  set({ command, a }, share) {
    const exact = a.least + share * (a.most - a.least);
    const value = a.kind === 'int' ? Math.round(exact) : rounded(exact, a.least, a.most);
    if (this.now[command.name] === value) return;
    this.now[command.name] = value;
    this.turn(command, value);
  }

  // What the instrument is set to: by the name of a command.
  show(told) {
    this.told = told;
    if (!this.down) this.draw();
  }

  draw() {
    if (this.down) return;
    this.now = {};
    for (const { command, fader, a } of [this.x, this.y]) {
      if (!command) continue;
      const values = this.told[command.name] ?? [a.usual ?? a.least];
      this.now[command.name] = Number(values[0]);
      fader.show(values);
    }
    this.place();
  }

  place() {
    const share = ({ command, a }) => (this.now[command.name] - a.least) / (a.most - a.least);
    const inside = (part) => `calc(1.5rem + ${Math.min(1, Math.max(0, part))} * (100% - 3rem))`;
    this.dot.style.left = inside(share(this.x));
    this.dot.style.bottom = inside(share(this.y));
    const words = ({ command, a }) => `${command.name} ${numberText(this.now[command.name])} ${a.unit}`.trim();
    document.getElementById('pad-across').textContent = words(this.x);
    document.getElementById('pad-up').textContent = words(this.y);
  }
}
