/** ISO 639-1 code, followed by its ISO 639-3 code (the register of SIL International, 2023). */
const pairs = `
  aaaar ababk aeave afafr akaka amamh anarg arara asasm avava ayaym azaze babak bebel bgbul bibis
  bmbam bnben bobod brbre bsbos cacat ceche chcha cocos crcre csces cuchu cvchv cycym dadan dedeu
  dvdiv dzdzo eeewe elell eneng eoepo esspa etest eueus fafas ffful fifin fjfij fofao frfra fyfry
  gagle gdgla glglg gngrn guguj gvglv hahau heheb hihin hohmo hrhrv hthat huhun hyhye hzher iaina
  idind ieile igibo iiiii ikipk ioido isisl itita iuiku jajpn jvjav kakat kgkon kikik kjkua kkkaz
  klkal kmkhm knkan kokor krkau kskas kukur kvkom kwcor kykir lalat lbltz lglug lilim lnlin lolao
  ltlit lulub lvlav mgmlg mhmah mimri mkmkd mlmal mnmon mrmar msmsa mtmlt mymya nanau nbnob ndnde
  nenep ngndo nlnld nnnno nonor nrnbl nvnav nynya ococi ojoji omorm orori ososs papan pipli plpol
  pspus ptpor quque rmroh rnrun roron rurus rwkin sasan scsrd sdsnd sesme sgsag shhbs sisin skslk
  slslv smsmo snsna sosom sqsqi srsrp ssssw stsot susun svswe swswa tatam tetel tgtgk ththa titir
  tktuk tltgl tntsn toton trtur tstso tttat twtwi tytah uguig ukukr ururd uzuzb veven vivie vovol
  wawln wowol xhxho yiyid yoyor zazha zhzho zuzul
`;

const iso639_3 = new Map(
  pairs
    .trim()
    .split(/\s+/)
    .map((pair) => [pair.slice(0, 2), pair.slice(2)]),
);

/**
 * A BCP 47 tag, or FLORES's eng_Latn, as MTEB writes languages, ISO 639-3 and ISO 15924: de -> deu-Latn, zh ->
 * zho-Hans. The script is the tag's own or the likely one. A code of three letters stays as it is.
 */
export function mtebLanguage(tag: string): string {
  const [subtag = tag, second] = tag.split(/[-_]/);
  const { language, script } = likely(tag) ?? likely(subtag) ?? { language: subtag, script: second };
  const code = subtag.length === 3 ? subtag : (iso639_3.get(language) ?? language);
  return script ? `${code}-${script}` : code;
}

function likely(tag: string): Intl.Locale | undefined {
  try {
    return new Intl.Locale(tag.replaceAll('_', '-')).maximize();
  } catch {
    return undefined;
  }
}
