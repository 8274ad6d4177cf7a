// Keys turn the slides, those of a presenter's remote control as well; forward goes first to the end of a slide that is
// higher than the window. Arrow keys are left to whatever takes them: a slider, a menu, code that is scrolled.
const slides = [...document.querySelectorAll(".slide")];
const turned = { ArrowRight: 1, PageDown: 1, ArrowLeft: -1, PageUp: -1 };
addEventListener("keydown", (event) => {
  const by = turned[event.key], taken = event.target.closest("input, select, [tabindex]");
  if (!by || event.ctrlKey || event.altKey || event.metaKey || (taken && event.key.startsWith("Arrow"))) return;
  event.preventDefault();
  const place = Math.max(0, slides.findLastIndex((slide) => slide.getBoundingClientRect().top < 2)), { top, bottom } = slides[place].getBoundingClientRect();
  if (by > 0 && bottom > innerHeight + 2) scrollBy(0, Math.min(0.85 * innerHeight, bottom - innerHeight));
  else slides[by < 0 && top < -2 ? place : Math.max(0, Math.min(place + by, slides.length - 1))].scrollIntoView();
});
