"""A host's answers, changed to those of a host in a state that vcsim has not. Pure.

What is asked for and what was answered are bytes of SOAP; each function returns other bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from tests.vcsim.steps import Fault

ENVELOPE = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"'
    ' xmlns:xsd="http://www.w3.org/2001/XMLSchema"'
    ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>{}'
    "</soapenv:Body></soapenv:Envelope>"
)
_FAULT = (
    "<soapenv:Fault><faultcode>ServerFaultCode</faultcode><faultstring>{text}</faultstring>"
    '<detail><{name}Fault xmlns="urn:vim25" xsi:type="{name}">{inner}</{name}Fault></detail>'
    "</soapenv:Fault>"
)
_INNER = {
    "NoPermission": '<object type="Folder">group-v3</object><privilegeId>{privilege}</privilegeId>',
    "NotAuthenticated": (
        '<object type="Folder">group-v3</object><privilegeId>System.View</privilegeId>'
    ),
}
_RESULT = '<propSet><name>info.result</name><val xsi:type="xsd:string">{}</val></propSet>'
_SUCCESS = re.compile(rb"<val[^>]*>success</val></propSet>(.*?)</objects>")
_KIND = re.compile(rb"(?s)<propSet><name>info\.(?:descriptionId|reason)</name>.*?</propSet>")
_RUNNING = (
    b'<val xsi:type="TaskInfoState">running</val></propSet>'
    b'<propSet><name>info.progress</name><val xsi:type="xsd:int">%d</val></propSet>'
)
_CANCELLED = (
    b'<val xsi:type="TaskInfoState">error</val></propSet><propSet><name>info.error</name>'
    b'<val xsi:type="LocalizedMethodFault"><fault xsi:type="RequestCanceled"/>'
    b"<localizedMessage>Canceled by a user.</localizedMessage></val></propSet>"
)
_GAP = (
    '<missingSet><path>{0}</path><fault><fault xsi:type="{1}"/>'
    "<localizedMessage>as planned</localizedMessage></fault></missingSet>"
)
_ERROR = (
    b'<propSet><name>info.error</name><val xsi:type="LocalizedMethodFault">'
    b'<fault xsi:type="%s"/><localizedMessage>as planned</localizedMessage></val></propSet>'
)
_QUESTION = (
    '<propSet><name>runtime.question</name><val xsi:type="VirtualMachineQuestionInfo"><id>7</id>'
    '<text>{id}: {text}</text><choice><choiceInfo xsi:type="ElementDescription">'
    "<label>button.cancel</label><summary>Cancel</summary><key>0</key></choiceInfo>"
    '<choiceInfo xsi:type="ElementDescription"><label>button.uuid.movedTheVM</label>'
    "<summary>I moved it</summary><key>1</key></choiceInfo>"
    '<choiceInfo xsi:type="ElementDescription"><label>button.uuid.copiedTheVM</label>'
    "<summary>I copied it</summary><key>2</key></choiceInfo></choice>"
    "<message><id>{id}</id><text>{text}</text></message></val></propSet>"
)


def fault(step: Fault) -> bytes:
    """Return a fault as an answer."""
    inner = _INNER.get(step.name, "").format(privilege=step.privilege)
    return ENVELOPE.format(_FAULT.format(name=step.name, text=step.text, inner=inner)).encode()


def waiting(answer: bytes, asked: str, request: bytes) -> bytes:
    """Return an answer as of a host on which a VM's start waits for a person."""
    if b"info.state" in request:
        answer = answer.replace(b">success<", b">running<")
    answer = answer.replace(b">poweredOn<", b">poweredOff<")
    if b"runtime.question" not in request:
        return answer
    told = _QUESTION.format(id=asked, text="this VM may have been moved or copied").encode()
    return re.sub(rb'(<obj type="VirtualMachine">[^<]*</obj>)', rb"\1" + told, answer)


def untold(answer: bytes, untold: Mapping[tuple[str, str], str]) -> bytes:
    """Return an answer as of a host that fails to tell some properties."""

    def gap(found: re.Match[bytes]) -> bytes:
        one = found[0]
        for (kind, path), fault in untold.items():
            if b'<obj type="%s"' % kind.encode() in one:
                name = re.escape(path.encode())
                one = re.sub(rb"(?s)<propSet><name>%s</name>.*?</propSet>" % name, b"", one)
                one = one.replace(b"</objects>", _GAP.format(path, fault).encode() + b"</objects>")
        return one

    return re.sub(rb"(?s)<objects>.*?</objects>", gap, answer)


def spoilt(answer: bytes, spoilt: Mapping[bytes, str]) -> bytes:
    """Return an answer in which some tasks have failed after their work."""
    for task, fault in spoilt.items():
        one = re.compile(rb"(?s)(<obj type=\"Task\">%s</obj>.*?)</objects>" % re.escape(task))

        def failed(found: re.Match[bytes], fault: str = fault) -> bytes:
            told = found[1].replace(b">success<", b">error<")
            told = re.sub(rb"(?s)<propSet><name>info.result</name>.*?</propSet>", b"", told)
            if b"<name>info.error<" not in told and b">error<" in told:
                told += _ERROR % fault.encode()
            return told + b"</objects>"

        answer = one.sub(failed, answer)
    return answer


def queued(answer: bytes, queued: Iterable[bytes]) -> bytes:
    """Return an answer in which some tasks have not begun."""
    for task in queued:
        one = rb"(?s)<obj type=\"Task\">%s</obj>.*?</objects>" % re.escape(task)
        answer = re.sub(one, lambda found: found[0].replace(b">success<", b">queued<"), answer)
    return answer


def drawn(answer: bytes, shots: Iterable[bytes], shot: str, by: str) -> bytes:
    """Return an answer in which tasks that draw have the path of the picture as their result.

    Args:
        answer: What vcsim says.
        shots: Ids of such tasks.
        shot: The picture's path.
        by: Who began them.
    """
    told = _RESULT.format(shot).encode()
    for task in shots:
        one = re.compile(rb"(?s)<obj type=\"Task\">%s</obj>.*?</objects>" % re.escape(task))
        answer = one.sub(lambda found: _as_drawing(found[0], by.encode()), answer)
        answer = answer.replace(b">%s</obj>" % task, b">%s</obj>%s" % (task, told))
    return answer


def is_done(answer: bytes) -> bool:
    """Tell whether a task says that it has ended well."""
    return bool(_SUCCESS.search(answer))


def undone(answer: bytes, percent: int | None) -> bytes:
    """Return what a task that ended says of itself as one that runs; None: that was ended."""
    told = _CANCELLED if percent is None else _RUNNING % percent
    return _SUCCESS.sub(
        lambda found: told + b"".join(_KIND.findall(found[1])) + b"</objects>", answer
    )


def _as_drawing(told: bytes, user: bytes) -> bytes:
    """Return what a task says of itself as one that draws, begun by somebody."""
    told = re.sub(rb"VirtualMachine\.reconfig\w*", b"VirtualMachine.createScreenshot", told)
    return re.sub(rb"(<userName[^>]*>)[^<]*", rb"\1" + user, told)


def scattered(answer: bytes, request: bytes) -> bytes:
    """Return an answer as of a host on which a removal left something over."""
    if b"runtime.consolidationNeeded" not in request:
        return answer
    told = b'<propSet><name>runtime.consolidationNeeded</name><val xsi:type="xsd:boolean">%s</val>'
    if told % b"false" in answer:
        return answer.replace(told % b"false", told % b"true")
    return re.sub(
        rb'(<obj type="VirtualMachine">[^<]*</obj>)',
        rb"\1" + told % b"true" + b"</propSet>",
        answer,
    )
