"""An export's way to the hub, through huggingface_hub; nothing else here goes online."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from heed.errors import UserError

CONFLICT = 409
AGAIN = "See that the network is there"
REMEDIES = {
    401: "Log in with a valid token (hf auth login)",
    403: "Take a token that may write there, or another owner",
    404: "See that the owner exists and is yours",
    CONFLICT: "Take another name",
}
"""What to do, by the hub's answer."""


def check_name(name: str) -> None:
    """Raises UserError where it is no owner/name, or there is no token to push with: before
    anything is written, and without going online.
    """
    from huggingface_hub import get_token
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(name)
        valid = name.count("/") == 1
    except HFValidationError:
        valid = False
    if not valid:
        raise UserError(f"--push {name}: name the owner and the model, as in --push me/my-model.")
    if get_token() is None:
        raise UserError(
            "--push needs a token of the hub and there is none. Log in with `hf auth login`, or "
            "set HF_TOKEN; nothing was written."
        )


def push(directory: Path, name: str, *, private: bool = True) -> str:
    """Make the repository, unless it is there, and upload the directory; gives its address.

    Raises UserError where the hub cannot be reached or refuses, or where the repository is there
    already and everybody sees it, which was not asked for; the directory stays.
    """
    import httpx2
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None)

    def failed(why: str, remedy: str) -> UserError:
        hidden = " --private" if private else ""
        return UserError(
            f"{name} was not pushed: {why.rstrip('.')}. The export in {directory} is whole. "
            f"{remedy}, then push it with: hf upload {name} {directory}{hidden}."
        )

    try:
        address = _made(api, name, private=private)
        if address is None:
            raise UserError(
                f"{name} was not pushed: it is on the hub already, where everybody sees it. The "
                f"export in {directory} is whole. Take another name, or say --public."
            )
        api.upload_folder(repo_id=name, folder_path=directory, commit_message="Export by Heed")
    except OfflineModeIsEnabled as error:
        raise failed("HF_HUB_OFFLINE is set", "Unset it") from error
    except HfHubHTTPError as error:
        code = error.response.status_code
        says = " ".join(str(error.server_message or error).split())
        raise failed(f"the hub said {code}: {says}", REMEDIES.get(code, AGAIN)) from error
    except (httpx2.HTTPError, OSError, ValueError, RuntimeError) as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise failed(f"the upload broke off ({why})", AGAIN) from error
    return address


def _made(api: Any, name: str, *, private: bool) -> str | None:
    """The repository's address, made where it was not there; None where it is more public than is
    wanted.
    """
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return str(api.create_repo(name, private=private))
    except HfHubHTTPError as error:
        if error.response.status_code != CONFLICT:
            raise
    known = api.repo_info(name)
    return None if private and not known.private else f"{api.endpoint}/{name}"
