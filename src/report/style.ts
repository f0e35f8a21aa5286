import { RAMP } from './charts/palette.js';

/** The report's whole appearance: system fonts, one column, light or dark as the reader's system asks. */
export const STYLE = `
:root { color-scheme: light dark; --page: #fbfbfa; --card: #fff; --ink: #1c2126; --soft: #5d6670; --line: #e2e4e7;
  --accent: #0b7a55; --best: #e3f4ec; --wrong: #b3402f; --worse: #fbe9e5; }
@media (prefers-color-scheme: dark) { :root { --page: #121518; --card: #1a1e23; --ink: #e4e7ea; --soft: #9aa4ae;
  --line: #2d333a; --accent: #4fc798; --best: #17382c; --wrong: #e98a79; --worse: #40231d; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
main { max-width: 66rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .4rem; letter-spacing: -.015em; overflow-wrap: anywhere; }
h2 { font-size: 1.3rem; margin: 3rem 0 .6rem; padding-top: 1.1rem; border-top: 1px solid var(--line);
  overflow-wrap: anywhere; }
h3 { font-size: 1rem; margin: 1.8rem 0 .5rem; }
p { margin: .5rem 0; max-width: 46rem; }
.soft, figcaption, caption { color: var(--soft); font-size: .88rem; }
.summary { font-size: 1.1rem; margin: 1rem 0 1.2rem; }
.languages { display: flex; flex-wrap: wrap; gap: .3rem; list-style: none; padding: 0; margin: .2rem 0 .8rem; }
.languages li, .tag { border: 1px solid var(--line); border-radius: 1rem; padding: 0 .55rem; font-size: .82rem;
  background: var(--card); white-space: nowrap; }
.languages small { color: var(--soft); }
.zero-shot li { border-style: dashed; }
.scroll { overflow-x: auto; margin: .6rem 0; border: 1px solid var(--line); border-radius: .5rem;
  background: var(--card); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .5rem .6rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); vertical-align: middle; }
tr:last-child > * { border-bottom: 0; }
th:first-child { text-align: left; position: sticky; left: 0; background: var(--card); }
thead th { white-space: normal; min-width: 6.2rem; font-size: .82rem; font-weight: 500; color: var(--soft); vertical-align: bottom; line-height: 1.25; }
tbody th { font-weight: 600; }
.facts th { position: static; font-weight: 500; color: var(--soft); width: 1%; vertical-align: top; }
.facts td { text-align: left; white-space: normal; overflow-wrap: anywhere; }
a { color: var(--accent); }
.tall { max-height: 32rem; overflow-y: auto; }
.sortable thead th { position: sticky; top: 0; z-index: 1; background: var(--card); padding: 0; }
.sortable thead th:first-child { z-index: 2; }
.sortable button { all: unset; box-sizing: border-box; width: 100%; padding: .5rem .75rem; cursor: pointer; text-align: inherit; }
.sortable button:focus-visible { outline: 2px solid var(--accent); outline-offset: -2px; }
.sortable [aria-sort] { color: var(--accent); }
[aria-sort="ascending"] button::after { content: " ▲"; } [aria-sort="descending"] button::after { content: " ▼"; }
.best { background: var(--best); color: var(--accent); font-weight: 700; }
.worse { background: var(--worse); color: var(--wrong); font-weight: 700; }
.chance > * { color: var(--soft); font-style: italic; font-weight: 400; }
.swatch { display: inline-block; width: .7rem; height: .7rem; border-radius: .2rem; margin-right: .5rem; }
.hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 1rem; }
figure { margin: .6rem 0; padding: .8rem; border: 1px solid var(--line); border-radius: .5rem;
  background: var(--card); min-width: 0; }
figure.narrow { max-width: 38rem; }
figure.bars { max-width: 38rem; } figure.bars svg { max-height: none; }
figure svg { display: block; width: 100%; height: auto; max-height: 36rem; }
figure svg text { font-family: inherit; }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; list-style: none; margin: 0 0 .5rem; padding: 0;
  font-size: .88rem; overflow-wrap: anywhere; }
.figures > * { margin: 0; }
figcaption { margin-top: .5rem; }
figcaption strong { color: var(--ink); }
.ramp { display: flex; align-items: center; gap: .6rem; margin: .6rem 0; font-size: .85rem;
  font-variant-numeric: tabular-nums; }
.ramp span { width: 14rem; max-width: 50vw; height: .8rem; border-radius: .2rem;
  background: linear-gradient(to right, ${RAMP.join(', ')}); }
.search { border: 1px solid var(--line); border-radius: .5rem; background: var(--card); padding: .9rem 1rem;
  margin: 1rem 0; }
.search h3 { margin: 0 0 .3rem; font-size: 1.05rem; overflow-wrap: anywhere; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 17rem), 1fr)); gap: 0 1.5rem; }
.columns h4 { margin: .6rem 0 .2rem; font-size: .88rem; }
.search ol { list-style: none; margin: 0; padding: 0; font-size: .92rem; }
.search ol li { display: grid; grid-template-columns: 1.2rem 1fr auto; gap: .1rem .5rem; padding: .4rem .4rem;
  border-top: 1px solid var(--line); }
.search ol li.correct { background: var(--best); border-radius: .3rem; }
.mark { color: var(--soft); } .correct .mark { color: var(--accent); font-weight: 700; }
.result { overflow-wrap: anywhere; min-width: 0; }
.origin { color: var(--soft); font-size: .8rem; white-space: nowrap; text-align: right; }
pre { overflow-x: auto; padding: .8rem 1rem; border: 1px solid var(--line); border-radius: .5rem;
  background: var(--card); font-size: .88rem; white-space: pre-wrap; overflow-wrap: anywhere; }
code { font-family: ui-monospace, monospace; }
@media (max-width: 40rem) { main { padding: 1.4rem .9rem 3rem; } h1 { font-size: 1.5rem; }
  th, td { padding: .45rem .55rem; } .sortable tbody th:first-child { position: static; }
  .sortable { font-size: .84rem; } .sortable :is(th, td), .sortable button { padding: .4rem; }
  .sortable thead th { min-width: 0; } .sortable tbody :is(th, td:nth-child(2)) { white-space: normal; } }
@media print { .scroll, figure, .search { break-inside: avoid; } }
`;
