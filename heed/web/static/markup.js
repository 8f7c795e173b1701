// Texts come from the server as sanitised HTML. Here they pass a second, smaller gate before they
// enter the page: elements and attributes that are not on the list never do.

const ELEMENTS = new Set(
  (
    "a b blockquote br caption code dd del details div dl dt em h1 h2 h3 h4 h5 h6 hr i ins kbd li " +
    "ol p pre q s samp section span strong sub summary sup table tbody td tfoot th thead tr u ul var"
  ).split(" "),
);
const DROPPED =
  "script,style,template,iframe,object,embed,svg,math,form,input,button,textarea,select," +
  "link,meta,base,noscript,title,audio,video,canvas,frame,frameset";
const ATTRIBUTES = {
  a: ["href", "title"],
  ol: ["start"],
  td: ["colspan", "rowspan"],
  th: ["colspan", "rowspan", "scope"],
};
const LINK = /^(https?:|mailto:)/i;

function clean(element) {
  const name = element.localName;
  if (!ELEMENTS.has(name)) {
    element.replaceWith(
      ...(name === "img" ? [element.getAttribute("alt") ?? ""] : element.childNodes),
    );
    return;
  }
  const kept = ATTRIBUTES[name] ?? [];
  for (const { name: attribute } of [...element.attributes]) {
    if (!kept.includes(attribute)) element.removeAttribute(attribute);
  }
  if (name !== "a") return;
  if (LINK.test(element.getAttribute("href") ?? "")) {
    element.target = "_blank";
    element.rel = "noopener noreferrer nofollow";
  } else element.removeAttribute("href");
}

/** The nodes of `html`, safe to put into the page. Parsing runs nothing and loads nothing. */
export function nodes(html) {
  const body = new DOMParser().parseFromString(html, "text/html").body;
  body.querySelectorAll(DROPPED).forEach((element) => element.remove());
  [...body.querySelectorAll("*")].forEach(clean);
  const fragment = document.createDocumentFragment();
  fragment.append(...[...body.childNodes].map((node) => document.adoptNode(node)));
  return fragment;
}
