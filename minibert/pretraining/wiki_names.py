"""Names that MediaWiki understands although a dump does not list them: canonical, translated and older ones, languages.

A dump's `<siteinfo>` gives one name of each namespace. A Chinese wiki calls its categories "Category" there, and its
pages say 分类; old pages of a German one say "Bild" for "Datei"; an old or cut dump gives no names at all.
"""

from __future__ import annotations

import re
import unicodedata

__all__ = ["CATEGORY", "FILE", "LANGUAGES", "MAIN", "MEDIA", "NAMESPACES", "name_key"]

MEDIA, MAIN, FILE, CATEGORY = -2, 0, 6, 14
"""Numbers of MediaWiki's namespaces."""

_DIRECTION_MARKS = re.compile("[\u200e\u200f\u202a-\u202e]")

_CANONICAL = {
    "media": MEDIA, "special": -1, "talk": 1, "user": 2, "user talk": 3, "project": 4, "project talk": 5, "file": FILE,
    "image": FILE, "file talk": 7, "image talk": 7, "mediawiki": 8, "mediawiki talk": 9, "template": 10,
    "template talk": 11, "help": 12, "help talk": 13, "category": CATEGORY, "category talk": 15,
}  # fmt: skip

_CATEGORIES = (
    "catagóir categori categoria categoría categorie catégorie flokkur jamii kategori kategoria kategória kategorie "
    "kategorija kategorio kategooria kateqoriya kategorya kategorî luokka rummad turkum thể_loại κατηγορία категорија "
    "категория категорія катэгорыя санат төркем կատեգորիա კატეგორია קטגוריה تصنيف رده زمرہ پۆل श्रेणी वर्ग "
    "বিষয়শ্রেণী பகுப்பு వర్గం വർഗ്ഗം หมวดหมู่ 分类 分類 カテゴリ 분류"
)
_FILES = (
    "afbeelding archivo arquivo attēls berkas bestand bild billede datei datoteka delwedd dosiero dosya fájl fichier "
    "ficheiro fișier fitxer gambar grafika hình imagem imagen imagine imatge immagine kép kuva mynd pilt plik resim "
    "slika soubor súbor şəkil tập_tin tiedosto vaizdas αρχείο εικόνα датотека зображення изображение картинка слика "
    "сурет файл պատկեր სურათი ფაილი קובץ תמונה پرونده تصویر صورة ملف चित्र चित्र চিত্র படிமம் దస్త్రం പ്രമാണം ไฟล์ ภาพ "
    "图像 圖像 文件 档案 檔案 画像 ファイル 그림 파일"
)

_LANGUAGES = (
    "aa ab ace ady af ak als alt am ami an ang ann anp ar arc ary arz as ast atj av avk awa ay az azb ba ban bar "
    "bat-smg bbc bcl bdr be be-tarask be-x-old bew bg bh bi bjn blk bm bn bo bpy br bs btm bug bxr ca cbk-zam cdo "
    "ce ceb ch cho chr chy ckb co cr crh cs csb cu cv cy da dag de dga din diq dsb dtp dty dv dz ee el eml en eo "
    "es et eu ext fa fat ff fi fiu-vro fj fo fon fr frp frr fur fy ga gag gan gcr gd gl glk gn gom gor got gpe gsw "
    "gu guc gur guw gv ha hak haw he hi hif ho hr hsb ht hu hy hyw hz ia iba id ie ig igl ii ik ilo inh io is it "
    "iu ja jam jbo jv ka kaa kab kbd kbp kcg kg kge ki kj kk kl km kn knc ko koi kr krc ks ksh ku kus kv kw ky la "
    "lad lb lbe lez lfn lg li lij lld lmo ln lo lt ltg lv mad mai map-bms mdf mg mh mhr mi min mk ml mn mni mnw "
    "mos mr mrj ms mt mus mwl my myv mzn na nah nan nap nb nds nds-nl ne new ng nia nl nn no nov nqo nr nrm nso nv "
    "ny oc olo om or os pa pag pam pap pcd pcm pdc pfl pi pih pl pms pnb pnt ps pt pwn qu rm rmy rn ro roa-rup "
    "roa-tara rsk ru rue rw sa sah sat sc scn sco sd se sg sgs sh shi shn shy si simple sk skr sl sm smn sn so sq "
    "sr srn ss st stq su sv sw szl szy ta tay tcy tdd te tet tg th ti tig tk tl tly tn to tpi tr trv ts tt tum tw "
    "ty tyv udm ug uk ur uz ve vec vep vi vls vo vro wa war wo wuu xal xh xmf yi yo yue za zea zgh zh zh-classical "
    "zh-cn zh-min-nan zh-tw zh-yue zu"
)
LANGUAGES = frozenset(_LANGUAGES.split())
"""Prefixes of links to the same article in another language, which are shown beside the page and not in its text."""


def name_key(name: str) -> str:
    """A namespace's name as MediaWiki compares it: without case, underscores, marks of direction."""
    bare = _DIRECTION_MARKS.sub("", unicodedata.normalize("NFC", name)).replace("_", " ")
    return " ".join(bare.split()).casefold()


NAMESPACES = {
    **{name_key(name): CATEGORY for name in _CATEGORIES.split()},
    **{name_key(name): FILE for name in _FILES.split()},
    **_CANONICAL,
}
"""Numbers of namespaces by `name_key`; a dump's own names go before these."""
