// Keeps the phone's screen on: by a wake lock, or, where the page is no secure context, by a small silent film.

let lock = null;
let film = null;

async function keep() {
  if (document.visibilityState === 'hidden') return;
  if ('wakeLock' in navigator) {
    try {
      if (lock === null || lock.released) lock = await navigator.wakeLock.request('screen');
      return;
    } catch { /* the battery is low, or the browser won't: the film then */ }
  }
  if (film === null) {
    film = Object.assign(document.createElement('video'), { src: 'wake.mp4', loop: true, muted: true, playsInline: true });
    film.className = 'unseen';
    film.setAttribute('aria-hidden', 'true');
    film.tabIndex = -1;
    document.body.append(film);
  }
  film.play().catch(() => {});
}

// Browsers want a touch first.
export function stayAwake() {
  for (const touch of ['pointerup', 'keyup']) addEventListener(touch, keep);
  document.addEventListener('visibilitychange', keep);
}
