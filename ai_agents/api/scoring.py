"""/api/v1/agents/scoring/: which fit of the statistical score is active, and how true scores were."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from ai_agents.actions.fitting import statistics_status
from ai_agents.actions.grading import GRADED_KINDS, HORIZONS, calibration
from ai_agents.models import ScoringModel
from crm.api.base import ApiView

SHOWN = 10


class BinSerializer(serializers.Serializer):
    """Leads whose chance was said to be in one band: how many, what was said, what came, a 95 % interval."""

    low = serializers.FloatField()
    high = serializers.FloatField()
    count = serializers.IntegerField()
    said = serializers.FloatField(help_text="average chance, 0 to 1")
    won = serializers.IntegerField()
    share = serializers.FloatField(help_text="won of all")
    share_low = serializers.FloatField()
    share_high = serializers.FloatField()


class MeasuresSerializer(serializers.Serializer):
    """AUC, Brier score beside that of the base rate, expected calibration error over ten bins."""

    count = serializers.IntegerField()
    base_rate = serializers.FloatField()
    auc = serializers.FloatField()
    brier = serializers.FloatField()
    base_brier = serializers.FloatField()
    ece = serializers.FloatField()


class CalibrationSerializer(serializers.Serializer):
    """Scores of one kind against what came within so many days."""

    kind = serializers.CharField()
    horizon_days = serializers.IntegerField()
    graded = serializers.IntegerField(help_text="at most the newest 20,000")
    measures = MeasuresSerializer(allow_null=True, help_text="null while there are not both outcomes")
    by_band = BinSerializer(many=True)


class FitSerializer(serializers.Serializer):
    """One fit of the statistical score."""

    id = serializers.UUIDField()
    fitted_at = serializers.DateTimeField()
    outcomes = serializers.IntegerField(help_text="leads that it was fitted on")
    is_active = serializers.BooleanField()
    is_pinned = serializers.BooleanField(help_text="a person chose it: no refit takes its place")
    note = serializers.CharField(help_text="why it is, or is not, active")


class ScoringSerializer(serializers.Serializer):
    """The statistical score at present."""

    is_active = serializers.BooleanField()
    sentence = serializers.CharField(help_text="what it was learned from, or what is missing")
    fits = FitSerializer(many=True, help_text="the newest ten")
    calibration = CalibrationSerializer(many=True)


class ScoringView(ApiView):
    """The statistical score: its fits, and how far scores could be trusted."""

    @extend_schema(summary="Show how scores are learned and graded", responses=ScoringSerializer)
    def get(self, request: Request) -> Response:
        status = statistics_status()
        return Response(
            {
                "is_active": status.is_active,
                "sentence": status.sentence,
                "fits": [_fit(fit) for fit in ScoringModel.objects.order_by("-fitted_at")[:SHOWN]],
                "calibration": [
                    calibration(kind, horizon_days=days).as_json()
                    for kind in GRADED_KINDS
                    for days in HORIZONS
                ],
            }
        )


def _fit(fit: ScoringModel) -> dict[str, Any]:
    return {
        "id": fit.public_id,
        "fitted_at": fit.fitted_at,
        "outcomes": fit.rows,
        "is_active": fit.is_active,
        "is_pinned": fit.is_pinned,
        "note": fit.note,
    }
