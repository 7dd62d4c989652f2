// What sounds, as it scrolls by: a column at a time, low below.

const WIDE = 2; // pixels of a column

export class Picture {
  constructor() {
    this.canvas = document.getElementById('picture');
    this.context = this.canvas.getContext('2d', { alpha: false });
    this.level = document.getElementById('level');
    this.colours = Array.from({ length: 256 }, (_, i) => colour(i / 255));
    this.clear();
  }

  clear() {
    this.context.fillStyle = '#0a0d0f';
    this.context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    this.level.value = this.level.min;
  }

  // level and bands, from 0 to 255
  add(level, bands) {
    const { canvas, context } = this;
    context.drawImage(canvas, -WIDE, 0);
    const column = context.createImageData(WIDE, canvas.height);
    const pixels = new Uint32Array(column.data.buffer);
    for (let y = 0; y < canvas.height; y++) {
      const band = Math.floor(((canvas.height - 1 - y) * bands.length) / canvas.height);
      for (let x = 0; x < WIDE; x++) pixels[y * WIDE + x] = this.colours[bands[band]];
    }
    context.putImageData(column, canvas.width - WIDE, 0);
    this.level.value = (level / 255) * 60 - 60;
  }
}

// Night, amber, white: as the bytes of a picture have it.
function colour(share) {
  const red = Math.min(1, share * 1.7), green = Math.min(1, share ** 1.6 * 1.05), blue = 0.06 + share ** 4 * 0.8;
  const byte = (part) => Math.round(255 * Math.min(1, part));
  return ((255 << 24) | (byte(blue) << 16) | (byte(green) << 8) | byte(red)) >>> 0;
}
