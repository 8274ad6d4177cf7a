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

// Search: the sections that have all the words, those first that have them in their heading.
for (const form of document.querySelectorAll("[role=search]")) {
  const [field, said, list] = ["input", "[role=status]", ".found"].map((part) => form.querySelector(part)), most = 12;
  const plain = SECTIONS.map(([, ...texts]) => texts.map((text) => text.toLowerCase()));
  const excerpt = (text, at, length) => {
    const mark = document.createElement("mark"), from = Math.max(0, text.lastIndexOf(" ", at - 50) + 1), until = text.indexOf(" ", at + length + 70);
    mark.textContent = text.slice(at, at + length);
    return [from ? "… " : "", text.slice(from, at), mark, text.slice(at + length, until < 0 ? undefined : until), until < 0 ? "" : " …"];
  };
  const look = () => {
    const words = field.value.toLowerCase().split(/\s+/).filter((word) => word.length > 1), found = [];
    plain.forEach((texts, place) => {
      const held = words.filter((word) => texts[1].includes(word)).length;
      if (words.length && words.every((word) => texts.some((text) => text.includes(word)))) found.push({ place, held });
    });
    found.sort((a, b) => b.held - a.held || a.place - b.place);
    said.textContent = !words.length ? "" : !found.length ? "No section has all of these words." : `${found.length} ${found.length === 1 ? "section" : "sections"}${found.length > most ? `, the first ${most}:` : ""}`;
    list.replaceChildren(...found.slice(0, most).map(({ place }) => {
      const [address, title, heading, text] = SECTIONS[place], item = document.createElement("li"), link = document.createElement("a");
      const [at, length] = words.map((word) => [plain[place][2].indexOf(word), word.length]).find(([where]) => where >= 0) ?? [0, 0];
      link.href = address;
      link.textContent = heading === title ? title : `${title} › ${heading}`;
      item.append(link, document.createElement("br"), ...excerpt(text, at, length));
      return item;
    }));
  };
  form.hidden = false; // without scripts there is none
  form.addEventListener("input", look);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    list.querySelector("a")?.focus();
  });
  look(); // a browser may remember what was asked
}
