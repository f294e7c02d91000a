// The comparison: several videos on one clock. The longest video leads; the others stay within a part of a frame of it.
class Clock {
  constructor(videos, show) {
    this.videos = videos;
    this.leader = videos.reduce((a, b) => (length(b) > length(a) ? b : a));
    this.frames = Number(this.leader.dataset.frames);
    this.frame = 1 / Number(this.leader.dataset.fps);
    this.show = show;
    this.speed = 1;
    this.playing = false;
    this.wanted = null;
    this.going = null;
    this.leader.addEventListener("ended", () => this.playing && this.start(0));
  }

  // In the middle of a frame, where rounding cannot show its neighbour.
  get at() {
    return Math.min(this.frames - 1, Math.floor(this.leader.currentTime / this.frame + 1e-6));
  }

  // Move all videos to `frame`, then show it. A newer call replaces an older one that is still under way.
  seek(frame) {
    this.wanted = Math.max(0, Math.min(this.frames - 1, frame));
    this.going ??= this.chase().finally(() => (this.going = null));
    return this.going;
  }

  async chase() {
    while (this.wanted !== null) {
      const time = (this.wanted + 0.5) * this.frame;
      this.wanted = null;
      this.videos.forEach((video) => video.pause());
      await Promise.all(this.videos.map((video) => goTo(video, Math.min(time, length(video) - this.frame / 2))));
      this.show();
    }
  }

  async start(frame) {
    this.playing = true;
    await this.seek(frame);
    if (!this.playing) return;
    this.rate(this.speed);
    await Promise.allSettled(this.videos.filter((video) => !over(video)).map((video) => video.play()));
    this.tick();
  }

  pause() {
    this.playing = false;
    return this.seek(this.at);
  }

  toggle() {
    return this.playing ? this.pause() : this.start(this.at === this.frames - 1 ? 0 : this.at);
  }

  step(frames) {
    this.playing = false;
    return this.seek(this.at + frames);
  }

  rate(speed) {
    this.speed = speed;
    this.videos.forEach((video) => (video.playbackRate = speed));
  }

  tick() {
    if (!this.playing || this.going || this.ticking) return;
    const now = this.leader.currentTime;
    const late = this.videos.filter((video) => video !== this.leader && now < length(video) - this.frame / 2);
    const far = late.some((video) => Math.abs(video.currentTime - now) > this.frame * 0.4);
    if (far) return void this.start(this.at);
    // A video that is a little off runs a little faster or slower, too little to be seen.
    for (const video of late) video.playbackRate = this.speed * (1 + Math.max(-0.2, Math.min(0.2, 3 * (now - video.currentTime))));
    this.show();
    this.ticking = requestAnimationFrame(() => ((this.ticking = null), this.tick()));
  }

  close() {
    this.playing = false;
    this.videos.forEach((video) => video.removeAttribute("src"));
    this.videos.forEach((video) => video.load());
  }
}

// Pixels beside and below a video, as in the style sheet.
const GAP = 14;
const CAPTION = 58;

const length = (video) => Number(video.dataset.frames) / Number(video.dataset.fps);
const over = (video) => video.currentTime >= length(video) - 1e-3;

async function goTo(video, time) {
  if (video.error) return;
  if (video.readyState < HTMLMediaElement.HAVE_METADATA) await one(video, "loadedmetadata");
  if (video.error) return;
  const there = one(video, "seeked");
  video.currentTime = time;
  await there;
}

function one(video, event) {
  return new Promise((resolve) => {
    const heard = new AbortController();
    const hear = () => (heard.abort(), resolve());
    for (const name of [event, "error", "emptied"]) video.addEventListener(name, hear, { signal: heard.signal });
  });
}

let clock = null;

function pane(video, name, text) {
  unpack(video);
  const copy = video.cloneNode();
  copy.loop = false;
  copy.preload = "auto";
  const [figure, frame, caption, strong, note] = ["figure", "div", "figcaption", "b", "p"].map((tag) => document.createElement(tag));
  figure.className = "pane";
  frame.className = "frame";
  note.className = "broken";
  note.hidden = true;
  note.textContent = "This browser cannot play the video.";
  strong.textContent = name;
  strong.className = "number";
  tellWhenBroken(copy, note);
  frame.append(copy, note);
  caption.append(strong, ` ${text}`);
  figure.append(frame, caption);
  return figure;
}

function compare(edits, withSource) {
  cover(true);
  const source = withSource && $("#source video") ? [pane($("#source video"), "Source", $(".caption").textContent)] : [];
  const panes = edits.map((card) => pane($("video", card), card.dataset.number, $(".prompt", card).textContent));
  $("#panes").replaceChildren(...source, ...panes);
  clock = new Clock(all("video", $("#panes")), show);
  $("#scrub").max = clock.frames - 1;
  clock.rate(Number($("#speed").value));
  $("#stage").showModal();
  lay();
  motion.paused ? clock.seek(0) : clock.start(0);
}

function show() {
  const { at, frames, frame, playing } = clock;
  $("#scrub").value = at;
  $("#scrub").setAttribute("aria-valuetext", `frame ${at + 1} of ${frames}`);
  $("#where").textContent = `frame ${at + 1} of ${frames} · ${(at * frame).toFixed(2)} s`;
  $("#play").textContent = playing ? "Pause" : "Play";
}

// As many columns as make the videos largest, each as wide as its videos.
function lay() {
  const { clientWidth: width, clientHeight: height, children } = $("#panes");
  const narrowest = Math.min(...clock.videos.map((video) => video.width / video.height));
  const across = (columns) => {
    const rows = Math.ceil(children.length / columns);
    return Math.min(width / columns - GAP, (height / rows - CAPTION) * narrowest);
  };
  const columns = [...children].map((_, index) => index + 1);
  const best = columns.reduce((a, b) => (across(b) > across(a) ? b : a));
  $("#panes").style.gridTemplateColumns = `repeat(${best}, ${Math.max(80, across(best))}px)`;
}

function key(event) {
  const steps = { ArrowLeft: () => clock.step(-1), ArrowRight: () => clock.step(1), Home: () => clock.step(-Infinity), End: () => clock.step(Infinity) };
  const { target } = event;
  if (event.ctrlKey || event.altKey || event.metaKey || target.matches("select")) return;
  if (event.key === " " && !target.matches("button")) clock.toggle();
  else if (event.key in steps) steps[event.key]();
  else return;
  event.preventDefault();
}

$("#compare").addEventListener("click", () => compare(chosen(), $("#with-source")?.checked));
$("#cards").addEventListener("click", ({ target }) => {
  const look = target.closest(".look");
  if (look) compare([look.closest(".card")], true);
});
$("#play").addEventListener("click", () => clock.toggle());
$("#back").addEventListener("click", () => clock.step(-1));
$("#on").addEventListener("click", () => clock.step(1));
$("#scrub").addEventListener("input", ({ target }) => {
  clock.playing = false;
  clock.seek(Number(target.value));
});
$("#speed").addEventListener("change", ({ target }) => clock.rate(Number(target.value)));
$("#close").addEventListener("click", () => $("#stage").close());
$("#stage").addEventListener("keydown", key);
$("#stage").addEventListener("close", () => {
  clock.close();
  $("#panes").replaceChildren();
  cover(false);
});
new ResizeObserver(() => $("#stage").open && lay()).observe($("#panes"));
