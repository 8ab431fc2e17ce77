"""The secret that signs in to Prism."""

from __future__ import annotations

import pytest

from shared.errors import PrismError
from shared.prism.sign_in import parse_secret


def test_a_user_name_and_a_password() -> None:
    credential = parse_secret('{"username": "svc", "password": " pä:ss "}', name="prism-paris")
    assert (credential.username, credential.password, credential.api_key) == ("svc", " pä:ss ", None)


def test_an_api_key() -> None:
    assert parse_secret('\ufeff{"apiKey": " k-1\\n"}', name="s").api_key == "k-1"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "s3cret",
        '["s3cret"]',
        "{}",
        '{"username": "s3cret"}',
        '{"password": "s3cret"}',
        '{"username": "", "password": "s3cret"}',
        '{"username": 1, "password": "s3cret"}',
        '{"username": "s3cret:x", "password": "s3cret"}',
        '{"apiKey": "s3cret-ä"}',
        '{"apiKey": "s3cret\\r\\nX-Header: 1"}',
    ],
)
def test_anything_else_is_an_error_that_names_the_secret_and_the_form_but_not_the_content(text: str) -> None:
    with pytest.raises(PrismError, match=r"^Secret prism-paris .*username.*apiKey") as caught:
        parse_secret(text, name="prism-paris")
    assert caught.value.kind == "misconfigured"
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_credential_shows_its_secrets_name_alone() -> None:
    for text in ('{"username": "svc", "password": "s3cret"}', '{"apiKey": "s3cret"}'):
        assert repr(parse_secret(text, name="prism-paris")) == "PrismCredential(secret='prism-paris')"
