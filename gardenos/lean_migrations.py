"""`migrate` with only those historical models that an operation asks for.

Django renders the models of the whole project before each migration, and after each operation anew all that a
relation joins to the changed one: here 40 classes a time, since nearly all joins a lead or a user. Here an
operation that asks for a model gets it with those that its keys point to; all are rendered once somebody asks
what points to a model. ADR 0037 has the figures.
"""

import functools
from collections.abc import Iterator
from typing import Any, Self

from django.apps import apps as live_apps
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.state import AppConfigStub, ModelState, ProjectState, StateApps
from django.db.migrations.utils import resolve_relation

Key = tuple[str, str]  # app label, name of the model in lower case


class LeanApps(StateApps):
    """The registry of one state. Raises LookupError for a model that it does not know, as Django's does."""

    def __init__(self, real_apps: set[str], known: dict[Key, ModelState]) -> None:
        super().__init__([], {})
        self.real_models = _models_of(frozenset(real_apps))
        self._waiting = dict(known)
        for label in sorted({*real_apps, *(label for label, _name in known)}):
            stub = AppConfigStub(label)
            stub.apps = self
            stub.import_models()
            self.app_configs[label] = stub
        self.render_multiple(self.real_models)

    def get_model(self, app_label: str, model_name: str | None = None, require_ready: bool = True) -> Any:
        label, name = app_label.split(".") if model_name is None else (app_label, model_name)
        self._render((label, name.lower()))
        return super().get_model(label, name, require_ready)

    @functools.cache  # noqa: B019  as Django's, whose clear_cache() empties it; a registry lives for an operation
    def get_models(self, include_auto_created: bool = False, include_swapped: bool = False) -> list[Any]:
        self._render(*self._waiting)
        return super().get_models.__wrapped__(self, include_auto_created, include_swapped)  # type: ignore[attr-defined]

    def _render(self, *keys: Key) -> None:
        """The models of these keys, and of all that they point to, unless they are rendered."""
        found: dict[Key, ModelState] = {}
        ahead = list(keys)
        while ahead:
            key = ahead.pop()
            if key in self._waiting:
                found[key] = self._waiting.pop(key)
                ahead += pointed_to(found[key])
        self.render_multiple(list(found.values()))


@functools.cache
def _models_of(real_apps: frozenset[str]) -> list[ModelState]:
    """Of apps without migrations, as StateApps takes them."""
    return [
        ModelState.from_model(model, exclude_rels=True)
        for label in sorted(real_apps)
        for model in live_apps.get_app_config(label).get_models()
    ]


def pointed_to(state: ModelState) -> Iterator[Key]:
    """The models that this one's fields and bases name."""
    here = state.app_label, state.name_lower
    for field in state.fields.values():
        for target in (
            getattr(field.remote_field, "model", None),
            getattr(field.remote_field, "through", None),
        ):
            if target:
                yield resolve_relation(target, *here)
    for base in state.bases:
        if isinstance(base, str):
            yield resolve_relation(base, *here)


class LeanState(ProjectState):
    """A change forgets the rendered models; Django's would render anew what they may touch."""

    def clone(self) -> Self:
        return type(self)({key: state.clone() for key, state in self.models.items()}, self.real_apps)

    def reload_model(self, app_label: str, model_name: str, delay: bool = False) -> None:
        self.__dict__.pop("apps", None)

    def reload_models(self, models: Any, delay: bool = True) -> None:
        self.__dict__.pop("apps", None)

    def remove_model(self, app_label: str, model_name: str) -> None:
        self.__dict__.pop("apps", None)
        super().remove_model(app_label, model_name)

    @functools.cached_property
    def apps(self) -> StateApps:  # type: ignore[override]
        return LeanApps(self.real_apps, self.models)


class LeanExecutor(MigrationExecutor):
    """Django's, over lean states. What it returns is Django's own state, for the signals that follow."""

    def _create_project_state(self, with_applied_migrations: bool = False) -> ProjectState:
        usual = super()._create_project_state(with_applied_migrations)  # type: ignore[misc]
        return LeanState(usual.models, usual.real_apps)

    def migrate(self, *args: Any, **kwargs: Any) -> ProjectState:
        lean = super().migrate(*args, **kwargs)
        return ProjectState(lean.models, lean.real_apps)
