"""What tests of the ways out share."""

from __future__ import annotations

import pytest

from tests.servers import Authority, make_authority


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Certificates, made once."""
    return make_authority(tmp_path_factory.mktemp("authority"))
