// The connection to the server: it comes back by itself, and what could not be sent meanwhile is never sent.

const SILENCE = 3000; // ms without a word from the server after which it counts as lost
const AGAIN = [250, 500, 1000, 2000]; // ms between attempts
const PACE = 16; // ms between two messages of one knob
const HELD = 250; // ms between signs that the page is there while something is held
const MOST_WAITING = 8192; // bytes in the socket above which a knob waits

export class Link {
  // hears: { up(), down(), whole(message), told(message), error(line), column(bytes) }
  constructor(hears) {
    this.hears = hears;
    this.socket = null;
    this.attempt = 0;
    this.heard = 0;
    this.turned = new Map(); // of each knob: what waits, and the timer
    this.held = 0;
    this.looked = 0;
    setInterval(() => this.watch(), 500);
    setInterval(() => this.held > 0 && this.send({}), HELD);
    for (const sign of ['online', 'pageshow', 'visibilitychange']) {
      addEventListener(sign, () => document.visibilityState !== 'hidden' && !this.isUp && this.open());
    }
    this.open();
  }

  get isUp() {
    return this.socket !== null && this.socket.readyState === WebSocket.OPEN;
  }

  open() {
    clearTimeout(this.timer);
    if (this.socket !== null && this.socket.readyState <= WebSocket.OPEN) return;
    const url = new URL('control', document.baseURI);
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
    const socket = new WebSocket(url);
    socket.binaryType = 'arraybuffer';
    socket.onopen = () => {
      this.attempt = 0;
      this.heard = performance.now();
      if (this.looked) this.send({ look: this.looked });
    };
    socket.onmessage = (event) => this.hear(socket, event.data);
    socket.onclose = () => this.lose(socket);
    this.socket = socket;
    this.heard = performance.now();
  }

  hear(socket, data) {
    if (socket !== this.socket) return;
    this.heard = performance.now();
    if (typeof data !== 'string') return this.hears.column(new Uint8Array(data));
    const message = JSON.parse(data);
    if (message.instances) {
      this.hears.whole(message);
      this.hears.up();
    }
    if (message.told) this.hears.told(message.told);
    if (message.error) this.hears.error(message.error);
  }

  lose(socket) {
    if (socket !== this.socket) return;
    this.socket = null;
    this.held = 0;
    for (const { timer } of this.turned.values()) clearTimeout(timer);
    this.turned.clear();
    this.hears.down();
    this.timer = setTimeout(() => this.open(), AGAIN[Math.min(this.attempt++, AGAIN.length - 1)]);
  }

  watch() {
    const socket = this.socket;
    if (socket !== null && performance.now() - this.heard > SILENCE) {
      socket.onclose = null;
      socket.close();
      this.lose(socket);
    }
  }

  send(message) {
    if (this.isUp) this.socket.send(JSON.stringify(message));
  }

  // One message to an instance, now.
  say(to, ...words) {
    this.send({ to, say: words });
  }

  // One that holds until `release`, or until the server misses this page.
  hold(to, ...words) {
    this.held++;
    this.send({ to, say: words, held: true });
  }

  release(to, ...words) {
    this.held = Math.max(0, this.held - 1);
    this.say(to, ...words);
  }

  // A knob that moves: at once, and then of what follows the last, 60 times a second.
  turn(to, ...words) {
    const key = `${to} ${words[0]}`;
    const turned = this.turned.get(key);
    if (turned) {
      turned.waits = words;
      return;
    }
    this.say(to, ...words);
    this.turned.set(key, { waits: null, timer: setTimeout(() => this.turnOn(to, key), PACE) });
  }

  turnOn(to, key) {
    const turned = this.turned.get(key);
    if (turned.waits !== null && this.isUp && this.socket.bufferedAmount < MOST_WAITING) {
      this.say(to, ...turned.waits);
      turned.waits = null;
    } else if (turned.waits === null) {
      this.turned.delete(key);
      return;
    }
    turned.timer = setTimeout(() => this.turnOn(to, key), PACE);
  }

  // Of which instance the picture is wanted.
  look(instance) {
    this.looked = instance;
    this.send({ look: instance });
  }
}
