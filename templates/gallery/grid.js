// The cards: which are shown, in which order, which move, which are chosen.
const $ = (selector, from = document) => from.querySelector(selector);
const all = (selector, from = document) => [...from.querySelectorAll(selector)];
const cards = all(".card");
const MOST = 3;

// Turn a data: address into a blob: one copy serves card and comparison, and Safari plays no video from data: addresses.
function unpack(video) {
  if (!video.src.startsWith("data:")) return video.src;
  const bytes = Uint8Array.from(atob(video.src.slice(video.src.indexOf(",") + 1)), (one) => one.charCodeAt(0));
  video.src = URL.createObjectURL(new Blob([bytes], { type: "video/mp4" }));
  return video.src;
}

// Motion: only what is on the screen plays, so that a hundred edits are no more work than ten.
const motion = { paused: matchMedia("(prefers-reduced-motion: reduce)").matches, covered: false, seen: new Set() };
const watching = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) motion.seen[isIntersecting ? "add" : "delete"](target);
  move();
});

function move() {
  for (const video of films) {
    const plays = motion.seen.has(video) && !motion.paused && !motion.covered;
    if (motion.seen.has(video) && video.preload === "none") {
      video.preload = "auto"; // while paused, show at least the first frame
      unpack(video);
    }
    plays ? video.play().catch(() => {}) : video.pause();
  }
  const [sign, word] = $("#motion").children;
  sign.textContent = motion.paused ? "▶" : "❚❚";
  word.textContent = motion.paused ? "Play all" : "Pause all";
}

function cover(covered) {
  motion.covered = covered;
  move();
}

function tellWhenBroken(video, note) {
  video.addEventListener("error", () => (note.hidden = false));
}

// Which cards are shown.
const wanted = { starred: false, tags: new Set() };

function matches(card) {
  const tags = card.dataset.tags.split(" ");
  const text = `${$(".prompt", card).textContent} ${tags.map((tag) => `#${tag}`).join(" ")}`.toLowerCase();
  const words = $("#words").value.toLowerCase().split(/\s+/).filter(Boolean);
  return (
    words.every((word) => text.includes(word)) &&
    [...wanted.tags].every((tag) => tags.includes(tag)) &&
    (!wanted.starred || "starred" in card.dataset)
  );
}

function filter() {
  for (const card of cards) card.hidden = !matches(card);
  const shown = cards.filter((card) => !card.hidden).length;
  const edits = cards.length === 1 ? "edit" : "edits";
  $("#count").textContent = shown === cards.length ? `${shown} ${edits}` : `${shown} of ${cards.length} ${edits}`;
  $("#none").hidden = shown > 0;
}

function press(button, pressed) {
  button.setAttribute("aria-pressed", pressed);
  filter();
}

function showAll() {
  $("#words").value = "";
  wanted.starred = false;
  wanted.tags.clear();
  for (const chip of all(".chip")) press(chip, false);
  filter();
  $("#words").focus();
}

// In which order; a card without the score comes last in both directions.
function order() {
  const option = $("#sort").selectedOptions[0];
  const down = $("#order").getAttribute("aria-pressed") === "true";
  const by = {
    number: (card) => Number(card.dataset.number),
    date: (card) => card.dataset.date,
    score: (card) => {
      const cell = all("dd", card).find((one) => one.dataset.score === option.dataset.score);
      return cell ? Number(cell.dataset.value) : null;
    },
  }[option.value];
  const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0) * (down ? -1 : 1);
  const keyed = cards.map((card) => [by(card), card]);
  keyed.sort(([a], [b]) => (a === null || b === null ? (a === null) - (b === null) : compare(a, b)));
  $("#cards").append(...keyed.map(([, card]) => card));
  const [sign, word] = $("#order").children;
  sign.textContent = down ? "↓" : "↑";
  word.textContent = down ? "descending" : "ascending";
}

// Which cards are chosen.
const box = (card) => $(".choose input", card);
const chosen = () => cards.filter((card) => box(card).checked);

function choose() {
  const names = chosen().map((card) => card.dataset.number);
  for (const card of cards) box(card).disabled = names.length === MOST && !box(card).checked;
  $("#tray").hidden = names.length === 0;
  const full = names.length === MOST ? ` (${MOST} is the most)` : "";
  $("#tray p").textContent = `${names.length === 1 ? "Edit" : "Edits"} ${names.join(", ")}${full}`;
}

function forget() {
  for (const card of cards) box(card).checked = false;
  choose();
}

const films = all("video");
for (const video of films) {
  tellWhenBroken(video, $(".broken", video.parentElement));
  watching.observe(video);
}
$("#tools").addEventListener("submit", (event) => event.preventDefault());
$("#words").addEventListener("input", filter);
$("#clear").addEventListener("click", showAll);
$("#starred")?.addEventListener("click", ({ currentTarget }) => press(currentTarget, (wanted.starred = !wanted.starred)));
$("#tags")?.addEventListener("click", ({ target }) => {
  const chip = target.closest("[data-tag]");
  if (!chip) return;
  const { tag } = chip.dataset;
  press(chip, !wanted.tags.delete(tag) && wanted.tags.add(tag) && true);
});
$("#sort").addEventListener("change", order);
$("#order").addEventListener("click", ({ currentTarget }) => {
  currentTarget.setAttribute("aria-pressed", currentTarget.getAttribute("aria-pressed") !== "true");
  order();
});
$("#motion").addEventListener("click", ({ currentTarget }) => {
  currentTarget.setAttribute("aria-pressed", (motion.paused = !motion.paused));
  move();
});
$("#cards").addEventListener("change", choose);
$("#forget").addEventListener("click", forget);
filter(); // a browser may have kept the fields of a page that is opened again
order();
choose();
move();
