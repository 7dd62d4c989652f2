// Eight snapshots: a tap recalls, holding stores, sliding goes over to it, the farther the slower.

const HOLD = 600; // ms
const STILL = 12; // pixels that a finger moves by itself
const LONGEST = 8000; // ms of a morph
const USUAL = 1000;

export class Snapshots {
  constructor(say) {
    this.say = say;
    this.buttons = Array.from({ length: 8 }, (_, i) => this.make(i + 1));
    document.getElementById('snapshots').replaceChildren(...this.buttons);
  }

  make(slot) {
    const button = document.createElement('button');
    const label = document.createElement('span');
    label.textContent = slot;
    button.append(label);
    button.id = `snapshot-${slot}`;
    let pressed = null;
    const word = (text) => (button.dataset.does = text);
    const end = () => {
      clearTimeout(pressed?.timer);
      pressed = null;
      word('');
    };
    button.addEventListener('pointerdown', (event) => {
      if (event.button !== 0) return;
      button.setPointerCapture(event.pointerId);
      pressed = { x: event.clientX, y: event.clientY, far: 0, stored: false };
      pressed.timer = setTimeout(() => {
        pressed.stored = true;
        word('stored');
        this.say('snapshot', 'store', slot);
      }, HOLD);
    });
    button.addEventListener('pointermove', (event) => {
      if (!pressed || pressed.stored) return;
      pressed.far = Math.hypot(event.clientX - pressed.x, event.clientY - pressed.y);
      if (pressed.far <= STILL) return;
      clearTimeout(pressed.timer);
      pressed.slid = true;
      word(`in ${(length(pressed.far) / 1000).toFixed(1)} s`);
    });
    button.addEventListener('pointerup', () => {
      const was = pressed;
      end();
      if (!was || was.stored) return;
      if (!was.slid) this.recall(slot);
      else if (was.far > STILL) this.morph(slot, length(was.far)); // else it came back: nothing
    });
    button.addEventListener('pointercancel', end);
    button.addEventListener('contextmenu', (event) => event.preventDefault());
    button.addEventListener('click', (event) => event.detail === 0 && this.recall(slot)); // keyboard, screen reader
    button.addEventListener('keydown', (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key.toLowerCase() === 's') this.say('snapshot', 'store', slot);
      if (event.key.toLowerCase() === 'm') this.morph(slot, USUAL);
    });
    button.setAttribute('aria-keyshortcuts', 'Enter S M');
    return button;
  }

  recall(slot) {
    this.say('snapshot', 'recall', slot);
  }

  morph(slot, ms) {
    this.say('snapshot', 'morph', slot, ms);
  }

  show(slots) {
    for (const [i, button] of this.buttons.entries()) {
      const filled = slots.includes(i + 1);
      button.classList.toggle('filled', filled);
      button.setAttribute('aria-label', `Snapshot ${i + 1}, ${filled ? 'filled' : 'empty'}`);
    }
  }
}

function length(pixels) {
  return Math.min(LONGEST, Math.round((pixels * 20) / 100) * 100);
}
