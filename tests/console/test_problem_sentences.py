"""Errors on Chinese pages: the sentence is Chinese where people meet it, and marked as English otherwise."""

from __future__ import annotations

import re

import pytest
from starlette.testclient import TestClient

from posthouse.console.problem_sentences import problem_sentence
from posthouse.console.texts import text
from posthouse.service.operations.filter_language import fields_help

HTML = {"accept": "text/html"}


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/queue?q=sate:held", "没有字段“sate”（第 1 个字符处）；是否想写“state”，例如 state:deferred？"),
        ("/queue?q=zzzzzz:held", "没有字段“zzzzzz”"),
        ('/queue?q=from:"x', "的引号没有结束"),
        ("/queue?q=domain:", "“domain”之后没有值"),
        ("/queue?q=domain>x", "“domain”不能用 &gt; 比较"),
        (f"/queue?q={'to:x@y.test ' * 150}", "条件超过"),
        ("/queue?q=id:1", "“1”不是队列编号"),
        (f"/queue?q={'x' * 5_000}", "筛选条件超过"),
        ("/inbox?q=size>x", "“x”不是大小"),
        ("/inbox?q=age<x", "“x”不是时长"),
        ("/inbox?q=before:x", "“x”不是日期"),
        (f"/inbox?q={'x ' * 600}", "搜索"),
        ("/inbox?view=x:y", "没有视图"),
        ("/message/999", "没有编号为 999 的邮件"),
        ("/message/x", "“x”不是邮件编号"),
        ("/view/latest", "还没有符合搜索的邮件"),
        ("/history/550", "没有邮件 550"),
        ("/sessions/in0.99", "会话 in0.99 已不在"),
        ("/sessions/x", "“x”不是会话"),
        ("/sessions?source=x", "“x”不是客户端"),
        ("/inbox?limit=0", "“limit”不是 1 到 500 之间的数"),
    ],
)
def test_an_error_is_told_in_chinese(client: TestClient, path: str, words: str) -> None:
    page = client.get(
        path, params={"lang": "zh"} if "?" not in path else None, headers={**HTML, "accept-language": "zh"}
    )
    assert page.status_code in (400, 404)
    (told,) = re.findall(r'role="alert"([^>]*)>(.*?)</p>', page.text)
    assert words in told[1].replace("&#34;", '"')
    assert told[0] == ""
    in_english = client.get(path, headers={**HTML, "accept-language": "en"}).text
    assert words not in in_english
    assert 'role="alert">' in in_english
    problem = client.get(path, headers={"accept": "application/json", "accept-language": "zh"}).json()
    assert words not in problem["detail"]  # for programs it is one language


def test_other_errors_are_marked_as_english(client: TestClient) -> None:
    assert problem_sentence("what nobody knows", "zh") == ("what nobody knows", "en")
    refused = client.put("/queue", headers={**HTML, "accept-language": "zh"})
    assert 'role="alert" lang="en">Method Not Allowed' in refused.text
    refused = client.post("/speak/begin", data={"door": "x"}, headers={**HTML, "accept-language": "zh"})
    assert 'role="alert">表单已过期' in refused.text


@pytest.mark.parametrize(
    ("sender", "to", "words"),
    [
        ("ann@here.test", "no address", "收件人“no address”不是邮箱"),
        ("no address", "ann@here.test", "发件人“no address”不是邮箱"),
        ("ann@here.test", "a@b@c", "“a@b@c”没有正确的域名"),
    ],
)
def test_a_form_in_chinese_names_a_mistake_in_chinese(client: TestClient, sender: str, to: str, words: str) -> None:
    page = client.get("/compose?lang=zh", headers=HTML).text
    token = re.search(r'name="csrf" value="([^"]+)"', page)
    assert token is not None
    form = {"csrf": token[1], "from": sender, "to": to}
    refused = client.post("/compose", data=form, headers={**HTML, "accept-language": "zh"})
    assert refused.status_code == 400
    assert words in refused.text


def test_the_fields_of_a_filter_are_explained_in_both_languages(client: TestClient) -> None:
    for name, meaning, _ in fields_help():
        assert text("en", f"queue.field.{name}") == meaning
        assert not text("zh", f"queue.field.{name}").isascii()
    assert "收到邮件至今的时间" in client.get("/queue?lang=zh", headers=HTML).text
