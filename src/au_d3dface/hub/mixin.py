"""`push_to_hub` of the network and of the video processor, in place of transformers' own.

transformers would copy single modules into the repository, and write a card that knows nothing. Ours pushes the card,
and a remote-code file that imports this package (see `folders`).
"""

from os import PathLike, fspath
from pathlib import Path


class PushToHub:
    """Goes before transformers' class among the bases."""

    @classmethod
    def register_for_auto_class(cls, auto_class: str | type = "") -> None:
        """Does nothing. transformers calls it on a class that remote code has given it, so that the next
        `save_pretrained` copies the class's module beside the weights; this package is one, not a module."""

    def push_to_hub(self, repo_id: str, **options):
        """Uploads with a card.

        Args:
            repo_id: "owner/name", or a name of your own.
            options: `commit_message`, `commit_description`, `private`, `token`, `revision`, `create_pr` as
                `hub.push.upload`; of a model also `max_shard_size` and `tags`.

        Returns:
            The commit, huggingface_hub's `CommitInfo`.

        Raises:
            OutputError: nobody is logged in, the Hub cannot be reached, or it refuses.
            CheckpointError: a model that holds a licensed mesh.
        """
        from transformers import PreTrainedModel

        from .push import push_network, push_processor

        if isinstance(self, PreTrainedModel):
            return push_network(self, repo_id, **options)
        return push_processor(self, repo_id, **options)

    def save_pretrained(self, save_directory: str | PathLike[str], *arguments, push_to_hub: bool = False, **options):
        """transformers' own; where asked for, the result is pushed as by `push_to_hub`."""
        names = ("repo_id", "commit_message", "commit_description", "private", "revision", "create_pr")
        pushed = {name: options.pop(name) for name in names if push_to_hub and name in options}
        saved = super().save_pretrained(save_directory, *arguments, **options)
        if push_to_hub:
            repo_id = pushed.pop("repo_id", Path(fspath(save_directory)).name)
            self.push_to_hub(repo_id, token=options.get("token"), **pushed)
        return saved
