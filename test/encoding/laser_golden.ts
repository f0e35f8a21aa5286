import { readFileSync } from 'node:fs';

/** What make_laser_goldens.py wrote. */
export interface LaserGolden {
  texts: { text: string; prepared: string; ids: number[]; charsmap_ids: number[] }[];
  /** Of the first texts. */
  text_embeddings: number[][];
  sequences: number[][];
  pairs: number;
  embeddings: number[][];
  training: { losses: number[]; gradient_norms: number[]; weights: Record<string, number[]> };
}

export const LASER = 'test/reference/laser/model';

export const laserGolden = JSON.parse(readFileSync('test/reference/laser.json', 'utf8')) as LaserGolden;
