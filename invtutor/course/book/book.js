// Shows, of a panel's pictures, the one that was computed for the present positions of its sliders.
for (const panel of document.querySelectorAll(".panel")) {
  const sliders = [...panel.querySelectorAll("input")];
  const show = () => {
    for (const slider of sliders) {
      const position = JSON.parse(slider.dataset.positions)[slider.value];
      slider.setAttribute("aria-valuetext", position);
      slider.parentElement.querySelector("output").textContent = position;
    }
    const at = sliders.map((slider) => slider.value).join();
    for (const figure of panel.querySelectorAll("figure")) figure.hidden = figure.dataset.at !== at;
  };
  panel.addEventListener("input", show);
  show(); // a browser may remember where a slider stood
}

// What is wider than its place is scrolled by keyboard as well.
const reach = () => {
  for (const part of document.querySelectorAll("pre, table, math")) {
    if (part.scrollWidth > part.clientWidth) part.tabIndex = 0;
    else part.removeAttribute("tabindex");
  }
};
addEventListener("resize", reach);
reach();
