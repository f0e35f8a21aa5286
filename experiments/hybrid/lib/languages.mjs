/** The training languages of arXiv 2408.10536. */
export const TRAINED = ['en', 'ar', 'zh', 'de', 'es', 'ru', 'th', 'tr', 'hi'];
/** In the pre-training alone: no batch of the fine-tuning has them. */
export const ZERO_SHOT = ['el', 'vi'];
export const LANGUAGES = [...TRAINED, ...ZERO_SHOT];

/** How each source names the languages; absent: the source lacks it. */
export const CODES = {
  help: { en: 'en-us', de: 'de', es: 'es', ru: 'ru', tr: 'tr', zh: 'zh-cn', hi: 'hi', el: 'el', vi: 'vi' },
  packages: { en: 'en', de: 'de', es: 'es', ru: 'ru', zh: 'zh_CN' },
  tatoeba: {
    ar: 'ara',
    zh: 'zho',
    de: 'deu',
    es: 'spa',
    ru: 'rus',
    tr: 'tur',
    hi: 'hin',
    el: 'ell',
    vi: 'vie',
  },
  freedict: { ar: 'ara', de: 'deu', es: 'spa', ru: 'rus', tr: 'tur', hi: 'hin', el: 'ell' },
  mkqa: { en: 'en', ar: 'ar', zh: 'zh_cn', es: 'es', ru: 'ru', tr: 'tr' },
  ntrex: {
    en: 'src.eng',
    ar: 'ref.arb',
    zh: 'ref.zho_Hans',
    de: 'ref.deu',
    es: 'ref.spa',
    ru: 'ref.rus',
    th: 'ref.tha',
    tr: 'ref.tur',
    hi: 'ref.hin',
    el: 'ref.ell',
    vi: 'ref.vie',
  },
  flores: {
    en: 'eng_Latn',
    ar: 'arb_Arab',
    zh: 'zho_Hans',
    de: 'deu_Latn',
    es: 'spa_Latn',
    ru: 'rus_Cyrl',
    th: 'tha_Thai',
    tr: 'tur_Latn',
    hi: 'hin_Deva',
    el: 'ell_Grek',
    vi: 'vie_Latn',
    pt: 'por_Latn',
    nl: 'nld_Latn',
    uk: 'ukr_Cyrl',
    id: 'ind_Latn',
    sv: 'swe_Latn',
    fa: 'pes_Arab',
  },
};
