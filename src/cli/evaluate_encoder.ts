import type { Encoder } from '../encoding/encoder.js';
import type { Embed, EvaluationProgress } from '../evaluation/evaluate.js';
import { evaluateTask, type TaskOptions } from '../evaluation/evaluate_task.js';
import type { EvaluationResult } from '../evaluation/results.js';
import type { Task } from '../evaluation/tasks/task.js';
import type { Role } from '../models/prompts.js';
import { FlatIndex } from '../search/flat_index.js';
import type { Console, Progress } from './console.js';

export interface EvaluateEncoderOptions
  extends Pick<TaskOptions, 'groups' | 'measures' | 'keepQueryScores' | 'allPairs' | 'cache'> {
  languages?: readonly string[] | undefined;
  label?: string;
  /** By role; default: the model's own. */
  prompts?: Record<Role, string>;
}

/** Evaluates an encoder on a task, its prompts applied by role, with progress of the texts embedded. */
export async function evaluateEncoder(
  encoder: Encoder,
  task: Task,
  console: Console,
  { label = task.name, languages, prompts, ...options }: EvaluateEncoderOptions = {},
): Promise<EvaluationResult> {
  const progress = new TaskProgress(label, console);
  const embed: Embed = (texts, role) =>
    encoder.encode(texts, prompts && role ? { prompt: prompts[role] } : { role });
  try {
    return await evaluateTask(task, embed, {
      ...options,
      ...(languages && { languages }),
      createIndex: (dimensions) => FlatIndex.create({ dimensions, device: encoder.device }),
      similarity: encoder.model.similarity === 'dot' ? 'dot' : 'cosine',
      onProgress: (event) => progress.show(event),
    });
  } finally {
    progress.stop();
  }
}

/** One bar for each stage: embedding a retrieval task, or the passages of one collection, or the parts of a task. */
class TaskProgress {
  #bar: Progress | undefined;
  #stage = '';

  constructor(
    readonly label: string,
    readonly console: Console,
  ) {}

  show(event: EvaluationProgress): void {
    if (event.stage === 'embed') {
      this.#at('embedding', event.textsTotal).update(event.textsDone, `${event.language} ${event.role}`);
    } else if (event.stage === 'rank') {
      this.#at('ranking', event.settingsTotal).update(event.settingsDone, 'settings');
    } else {
      this.#at('measured', event.partsTotal).update(event.partsDone, event.part);
    }
  }

  stop(): void {
    this.#bar?.stop();
    this.#bar = undefined;
  }

  #at(stage: string, total: number): Progress {
    const key = `${stage} ${total}`;
    if (this.#bar && key === this.#stage) return this.#bar;
    this.stop();
    this.#stage = key;
    this.#bar = this.console.progress(`${stage} ${this.label}`, total);
    return this.#bar;
  }
}
