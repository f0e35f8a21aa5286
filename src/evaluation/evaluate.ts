import { z } from 'zod';
import { checkOptions, functionSchema } from '../checked_options.js';
import { XlembedError } from '../errors.js';
import type { Role } from '../models/prompts.js';
import type { EmbeddedTexts } from './embedded_texts.js';
import { evaluateGrid, type GridLanguage, type GridOptions } from './grid.js';
import type { Measure } from './measures/measure.js';
import { requireLanguages } from './part_options.js';
import { ProjectionSample } from './projection.js';
import type { EvaluationResult } from './results.js';
import type { RetrievalTask, TaskText } from './tasks/task.js';

export type { Role };

/**
 * (rows, dimensions) row-major, one row per text, in their order, in an array of its own at each call: they are kept.
 * Prompts are the function's own business; texts
 * without a role are compared with texts like themselves.
 */
export type Embed = (
  texts: string[],
  role: Role | undefined,
) => Promise<{ data: Float32Array; rows: number; dimensions: number }>;

export type EvaluationProgress =
  | { stage: 'embed'; language: string; role: Role; textsDone: number; textsTotal: number }
  | { stage: 'rank'; settingsDone: number; settingsTotal: number }
  | { stage: 'part'; part: string; partsDone: number; partsTotal: number };

export interface EvaluationOptions extends Omit<GridOptions, 'onSetting'> {
  /** Only these languages. Default: all of the task. */
  languages?: readonly string[] | undefined;
  onProgress?: ((progress: EvaluationProgress) => void) | undefined;
}

export const evaluationShape = {
  languages: z.array(z.string()),
  createIndex: functionSchema,
  similarity: z.enum(['cosine', 'dot']),
  measures: z.array(
    z.custom((value) => typeof (value as Measure | null)?.score === 'function', 'what parseMeasure gives'),
  ),
  groups: z.record(z.string(), z.array(z.string())),
  keepQueryScores: z.boolean(),
  onProgress: functionSchema,
};
/** Those of other kinds of tasks may be among them. */
const evaluationOptions = z.looseObject(evaluationShape).partial();
export const retrievalTaskSchema = z.custom(
  (value) => typeof (value as RetrievalTask | null)?.candidates === 'function',
  'a retrieval task',
);
const retrieval = z.object({ task: retrievalTaskSchema, embed: functionSchema });

/**
 * Embeds a task's queries and candidates, each language once, and measures every setting (see evaluateGrid). Throws
 * INVALID_ARGUMENT for languages that the task lacks, DIMENSION_MISMATCH when `embed` does not keep its contract.
 */
export async function evaluateRetrieval(
  task: RetrievalTask,
  embed: Embed,
  options: EvaluationOptions = {},
): Promise<EvaluationResult> {
  checkOptions(retrieval, { task, embed });
  checkOptions(evaluationOptions, options);
  const { languages: chosen, onProgress, ...gridOptions } = options;
  const languages = chooseLanguages(task, chosen);
  const run = new EmbeddingRun(task, languages, embed, onProgress);
  const embedded: GridLanguage[] = [];
  for (const language of languages) {
    const queries = await run.embed(language, 'query', task.queries(language));
    const candidates = await run.embed(language, 'passage', task.candidates(language));
    embedded.push({ language, queries, candidates });
  }
  const result = await evaluateGrid(
    { task: task.name, dimensions: run.dimensions, languages: embedded, qrels: task.qrels },
    {
      ...gridOptions,
      onSetting: (settingsDone, settingsTotal) =>
        onProgress?.({ stage: 'rank', settingsDone, settingsTotal }),
    },
  );
  const sample = new ProjectionSample(run.dimensions);
  for (const { language, queries } of embedded) sample.add(language, queries.ids, queries.embeddings);
  return { ...result, ...sample.project() };
}

/** Counts the texts and holds all embeddings to one D. */
class EmbeddingRun {
  dimensions = 0;
  #textsDone = 0;
  readonly #textsTotal: number;

  constructor(
    task: RetrievalTask,
    languages: readonly string[],
    readonly embedTexts: Embed,
    readonly onProgress: EvaluationOptions['onProgress'],
  ) {
    this.#textsTotal = languages.reduce(
      (sum, language) => sum + task.queries(language).length + task.candidates(language).length,
      0,
    );
  }

  async embed(language: string, role: Role, texts: readonly TaskText[]): Promise<EmbeddedTexts> {
    const result = await this.embedTexts(
      texts.map(({ text }) => text),
      role,
    );
    this.dimensions ||= result.dimensions;
    if (result.rows !== texts.length || result.dimensions !== this.dimensions) {
      throw new XlembedError(
        'DIMENSION_MISMATCH',
        `expected ${texts.length} x ${this.dimensions} embeddings for ${role} texts of ${language}, received ${result.rows} x ${result.dimensions}`,
      );
    }
    this.#textsDone += texts.length;
    this.onProgress?.({
      stage: 'embed',
      language,
      role,
      textsDone: this.#textsDone,
      textsTotal: this.#textsTotal,
    });
    return { ids: texts.map(({ id }) => id), embeddings: result.data };
  }
}

function chooseLanguages(task: RetrievalTask, chosen: readonly string[] | undefined): readonly string[] {
  requireLanguages(task, chosen);
  return task.languages.filter((language) => !chosen || chosen.includes(language));
}
