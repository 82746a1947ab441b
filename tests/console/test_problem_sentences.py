"""Errors on Chinese pages: the sentence is Chinese where people meet it, and marked as English otherwise."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from starlette.testclient import TestClient

import posthouse.console
from posthouse.console.problem_sentences import problem_sentence
from posthouse.console.texts import text
from posthouse.service.accounts import AccountFile
from posthouse.service.operations.filter_language import fields_help

CONSOLE = Path(posthouse.console.__file__).parent
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


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/queue?q=state:hld", "没有值“hld”（第 7 个字符处）；是否想写 state:held？"),
        ("/queue?q=state:foo", "可写 waiting, deferred"),
        ("/queue?q=spf:pas", "是否想写 pass？"),
        ("/queue?q=a@b", "“a@b”不是条件（第 1 个字符处）；是否想写 to:a@b 或 from:a@b？"),
        ("/queue?q=example.org", "是否想写 domain:example.org？"),
        ("/queue?q=one%20and%20two", "不是条件"),
        ("/queue?q=attempts%3Ex", "“x”不是整数"),
        ("/inbox?q=is:foo", "没有 is:foo；请写 is:"),
        ("/inbox?q=id:foo", "也不是队列编号"),
        ("/history/zzzzzzzzzzzzz", "无法解释“zzzzzzzzzzzzz”"),
        ("/speak/codes/999", "没有"),
        ("/history/5500", "“5500”"),
    ],
)
def test_a_rarer_error_is_told_in_chinese(client: TestClient, path: str, words: str) -> None:
    page = client.get(path, headers={**HTML, "accept-language": "zh"}).text
    (told,) = re.findall(r'role="alert"([^>]*)>(.*?)</p>', page)
    assert words in told[1].replace("&#34;", '"')
    assert told[0] == ""


@pytest.mark.parametrize(
    ("path", "form", "words"),
    [
        ("/queue/act", {"act": "flush", "filter": "all"}, "没有操作“flush”"),
        ("/queue/act", {"act": "reroute", "filter": "all", "via": "no way", "confirm": "1"}, "“no way”不是路由"),
        ("/queue/act", {"act": "reroute", "filter": "all", "via": "smtp://", "confirm": "1"}, "不是主机和端口"),
        ("/queue/undo", {"number": "x"}, "请写明撤销哪个操作"),
        ("/queue/undo", {"number": "7"}, "操作 7 已不能撤销"),
        ("/queue/pause", {"destination": "a b", "duration": ""}, "“a b”不是目的域"),
        ("/queue/pause", {"destination": "x.test", "duration": "soon"}, "“soon”不是时长"),
        ("/queue/pause", {"destination": "x.test", "why": "x" * 3000}, "理由超过"),
        ("/queue/resume", {"destination": "x.test"}, "x.test 没有暂停。"),
        ("/inbox/act", {"act": "read"}, "没有选择邮件"),
        ("/inbox/act", {"act": "read", "number": "x"}, "邮件编号有误"),
        ("/inbox/act", {"act": "burn", "number": "1"}, "没有操作“burn”"),
        ("/check/message", {"message": ""}, "没有邮件；请选择文件"),
        ("/compose", {"from": "a@here.test", "to": "b@here.test", "carry": "x"}, "“x”不是邮件编号"),
    ],
)
def test_a_mistake_in_a_form_is_told_in_chinese(
    client: TestClient, path: str, form: dict[str, str], words: str
) -> None:
    token = re.search(r'name="csrf" value="([^"]+)"', client.get("/compose", headers=HTML).text)
    assert token is not None
    refused = client.post(path, data={"csrf": token[1], **form}, headers={**HTML, "accept-language": "zh"})
    assert refused.status_code == 400
    told = re.findall(r'role="alert"([^>]*)>(.*?)</p>', refused.text)
    assert [attributes for attributes, _ in told] == [""]
    assert words in told[0][1]


def test_every_sentence_of_pages_and_logins_is_chinese_on_a_chinese_page() -> None:
    """Each sentence that a page or the guard raises is found in the source, its values replaced by a 7."""
    found = 0
    for path in [*(CONSOLE / "pages").glob("*.py"), *(CONSOLE / "security").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name):
                if node.exc.func.id not in ("RequestRefused", "NotFound", "SettingError"):
                    continue
                sentence = _sentence(node.exc)
                found += 1
                assert problem_sentence(sentence, "zh")[1] == "zh", (path.name, node.lineno, sentence)
    assert found > 20


def _sentence(call: ast.Call) -> str:
    named = {each.arg: _text(each.value) for each in call.keywords}
    where = f"{named['where']}: " if "where" in named else ""
    return f"{where}{_text(call.args[0])}" + (f"; {named['remedy']}" if "remedy" in named else "")


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(str(each.value) if isinstance(each, ast.Constant) else "7" for each in node.values)
    return str(node.value) if isinstance(node, ast.Constant) else "7"


@pytest.mark.parametrize(("how", "words"), [("missing", "不见了"), ("empty", "是空的")])
def test_a_lost_file_of_accounts_is_told_in_chinese(tmp_path: Path, how: str, words: str) -> None:
    file = AccountFile(tmp_path)
    file.add("ann@x.test", "pw", (), 0.0)
    if how == "missing":
        file.path.unlink()
    else:
        file.path.write_bytes(b"")
    sentence, language = problem_sentence(file.loss(), "zh")
    assert language == "zh"
    assert sentence.startswith(f"账户文件 {file.path} {words}；")
    assert "accounts.made" in sentence


def test_other_errors_are_marked_as_english(client: TestClient) -> None:
    assert problem_sentence("what nobody knows", "zh") == ("what nobody knows", "en")
    refused = client.put("/queue", headers={**HTML, "accept-language": "zh"})
    assert 'role="alert">此页面不接受这种请求方法。' in refused.text
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
