import type { TopLevelSpec } from 'vega-lite';
import { escapeHtml, Html } from '../html.js';

/** Ink comes from the page, so that one drawing serves a light and a dark one. */
const CONFIG = {
  aria: false,
  background: 'transparent',
  view: { stroke: null },
  axis: {
    ...{ labelColor: 'currentColor', titleColor: 'currentColor', labelFontSize: 12, titleFontSize: 12 },
    ...{ gridColor: 'currentColor', gridOpacity: 0.12, domain: false, ticks: false, labelPadding: 6 },
    ...{ titleFontWeight: 500 as const, titlePadding: 8 },
  },
  legend: {
    labelColor: 'currentColor',
    labelFontSize: 12,
    title: null,
    symbolStrokeWidth: 3,
    symbolSize: 300,
  },
  text: { color: 'currentColor' },
};

const UNUSED = / (?:xmlns(?::xlink)?|version|class|role|aria-[a-z]+|pointer-events|font-family)="[^"]*"/g;

/**
 * The drawing without what a page has no use for: namespaces, interaction, roles of single marks (the label says
 * what the whole shows), hundredths of a pixel. Only tags are touched, never the texts between them.
 */
function tidyTags(svg: string): string {
  const shorter = (number: string) => String(Number(Number(number).toFixed(2)));
  return svg.replace(/<[^>]*>/g, (tag) => tag.replace(UNUSED, '').replace(/-?\d+\.\d{3,}/g, shorter));
}

/** A drawing grows with the page up to here, so that small ones do not shout. */
const MOST_ENLARGED = 1.6;

function embed(svg: string, label: string): Html {
  const width = Number(/ width="([\d.]+)"/.exec(svg)?.[1]);
  const style = `max-width:${Math.round(MOST_ENLARGED * width)}px`;
  return new Html(
    tidyTags(svg).replace('<svg ', `<svg role="img" style="${style}" aria-label="${escapeHtml(label)}" `),
  );
}

/** Draws a Vega-Lite chart as inline SVG. `label` says in words what the drawing shows. */
export async function renderChart(spec: TopLevelSpec, label: string): Promise<Html> {
  // Not with the package: it takes time, and a module that waits while it loads keeps CommonJS from `require`.
  const { Error: ERRORS, logger, parse, View } = await import('vega');
  const { compile } = await import('vega-lite');
  const compiled = compile({ ...spec, config: CONFIG } as TopLevelSpec, { logger: logger(ERRORS) });
  const view = new View(parse(compiled.spec), { renderer: 'none', logLevel: ERRORS });
  try {
    return embed(await view.toSVG(), label);
  } finally {
    view.finalize();
  }
}
