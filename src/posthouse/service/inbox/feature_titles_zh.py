"""Chinese titles of the features of HTML and CSS that caniemail.com has tested, and of the platforms of mail programs.

Names of code (``margin``, ``<video>``, ``@media``) stay; the words around them become Chinese.  A title in other words
is shown as it stands in the data.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["chinese_feature", "chinese_platform"]

_ROWS: Final = tuple(
    (re.compile(pattern), text)
    for pattern, text in (
        (r"CSS comments", "CSS 注释"),
        (r"HTML comments", "HTML 注释"),
        (r"CSS Nesting", "CSS 嵌套"),
        (r"CSS Variables \(Custom Properties\)", "CSS 变量（自定义属性）"),
        (r"HTML5 doctype", "HTML5 文档类型声明"),
        (r"HTML5 semantics", "HTML5 语义元素"),
        (r"Image maps", "图像映射"),
        (r"Local anchors", "页内锚点"),
        (r"mailto: links", "mailto: 链接"),
        (r"color-scheme meta tag", "meta 标签 color-scheme"),
        (r"Embedded <svg> image", "内嵌的 <svg> 图片"),
        (r"Video as Image Assets", "以视频作图片"),
        (r"Animated PNG image format", "动态 PNG 图片格式"),
        (r"Adjacent sibling combinator", "相邻兄弟组合符"),
        (r"General sibling combinator", "通用兄弟组合符"),
        (r"Child combinator", "子组合符"),
        (r"Descendant combinator", "后代组合符"),
        (r"Attribute selector", "属性选择器"),
        (r"Chaining selectors", "串联选择器"),
        (r"Class selector", "类选择器"),
        (r"Grouping selectors", "分组选择器"),
        (r"ID selector", "ID 选择器"),
        (r"Type selector", "类型选择器"),
        (r"Universal selector \*", "通配选择器 *"),
        (r"css column properties", "CSS 分栏属性"),
        (r"AMP for Email", "AMP for Email"),
        (r"(.+?) individual logical properties", "{0} 的各个逻辑属性"),
        (r"(.+?) longhand properties", "{0} 的分写属性"),
        (r"(.+?) logical properties", "{0} 逻辑属性"),
        (r"(.+?) (?:CSS property|property|properties)", "{0} 属性"),
        (r"(.+?) attributes?", "{0} 属性"),
        (r"(.+?) elements?", "{0} 元素"),
        (r"(.+?) unit", "{0} 单位"),
        (r"(.+?) shorthand", "{0} 简写属性"),
        (r"(.+?) keyword", "关键字 {0}"),
        (r"CSS (.+?) function", "CSS 函数 {0}"),
        (r"(.+?) image format", "{0} 图片格式"),
    )
)
_JOINED: Final = {" & ": " 和 ", " and ": " 和 ", " to ": " 至 ", ", ": "、"}
_PLATFORMS: Final = {
    "Desktop": "桌面版",
    "Desktop Webmail": "桌面网页版",
    "Mobile Webmail": "手机网页版",
    "Webmail": "网页版",
}


def chinese_feature(title: str) -> str:
    """The title of a feature."""
    for pattern, text in _ROWS:
        if (found := pattern.fullmatch(title)) is not None:
            return text.format(*map(_joined, found.groups()))
    return _joined(title)


def _joined(names: str) -> str:
    for mark, chinese in _JOINED.items():
        names = names.replace(mark, chinese)
    return names


def chinese_platform(name: str) -> str:
    """The platform of a mail program."""
    return _PLATFORMS.get(name, name)
