"""All settings. Every difference between places comes from the environment, through gardenos/env.py."""

import os
from datetime import timedelta
from pathlib import Path

import pghistory

from gardenos.databases import data_dir, database_settings, embedded_secret
from gardenos.env import Env, why_no_network, why_no_time_zone
from gardenos.mail_settings import mail_settings, why_no_sender
from gardenos.noted_addresses import SCRIPTED_LLM, SITE, noted_address, own_address

BASE_DIR = Path(__file__).resolve().parent.parent
env = Env()

# --- place -------------------------------------------------------------------------------------------------
GARDENOS_PORT = env.integer("GARDENOS_PORT", 8000, least=1, most=65535)
GARDENOS_BIND = env.text("GARDENOS_BIND", "127.0.0.1")
GARDENOS_DATA_DIR = data_dir(env, BASE_DIR)
GARDENOS_PG_BIN = env.text("GARDENOS_PG_BIN")
GARDENOS_IMPORT_MAX_MB = env.integer("GARDENOS_IMPORT_MAX_MB", 1024, least=1, most=10_240)
GARDENOS_IMPORT_MAX_ROWS = env.integer("GARDENOS_IMPORT_MAX_ROWS", 1_000_000, least=1, most=10_000_000)
GARDENOS_TEST_DATA = env.text("GARDENOS_TEST_DATA")
env.refuse_unknown(
    [
        "GARDENOS_PORT",
        "GARDENOS_BIND",
        "GARDENOS_DATA_DIR",
        "GARDENOS_PG_BIN",
        "GARDENOS_IMPORT_MAX_MB",
        "GARDENOS_IMPORT_MAX_ROWS",
        "GARDENOS_TEST_DATA",
    ]
)

# --- database ----------------------------------------------------------------------------------------------
DATABASES, DATABASE_IS_EMBEDDED = database_settings(env, GARDENOS_DATA_DIR)
DATABASE_LISTEN_URL = env.url("DATABASE_LISTEN_URL", schemes=("postgres", "postgresql"), secret=True)
DATABASE_READ_URL = env.url("DATABASE_READ_URL", schemes=("postgres", "postgresql"), secret=True)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- identity ----------------------------------------------------------------------------------------------
OWN_ADDRESS = own_address(GARDENOS_BIND, GARDENOS_PORT)
SITE_URL = env.url(
    "SITE_URL", noted_address(GARDENOS_DATA_DIR, SITE) or OWN_ADDRESS, schemes=("http", "https")
).rstrip("/")
IS_HTTPS = SITE_URL.startswith("https://")
_LOCAL_HOSTS = "localhost,127.0.0.1,[::1]"
SECRET_KEY = env.text("SECRET_KEY", secret=True)
if not SECRET_KEY:
    if not DATABASE_IS_EMBEDDED:
        env.refuse("SECRET_KEY", "is required when DATABASE_URL is set; make one of 50 random characters")
    try:
        SECRET_KEY = embedded_secret(GARDENOS_DATA_DIR)
    except OSError as error:
        env.refuse("GARDENOS_DATA_DIR", f"cannot be used ({type(error).__name__}); name a folder of your own")
env.checked("SECRET_KEY", SECRET_KEY, lambda key: "is shorter than 32 characters" if len(key) < 32 else None)
ALLOWED_HOSTS = env.items(
    "ALLOWED_HOSTS", _LOCAL_HOSTS + (f",{GARDENOS_BIND}" if GARDENOS_BIND not in _LOCAL_HOSTS else "")
)
if "*" in ALLOWED_HOSTS:
    env.refuse("ALLOWED_HOSTS", "must name the hosts; * is refused")
TOKEN_PEPPER = env.text("TOKEN_PEPPER", secret=True) or SECRET_KEY
# Keys the seals of the audit log, and the hashes by which erased and banned addresses are known again.
AUDIT_KEY = env.text("AUDIT_KEY", secret=True) or SECRET_KEY
METRICS_TOKEN = env.text("METRICS_TOKEN", secret=True)
TRUSTED_PROXIES = env.items("TRUSTED_PROXIES")
for _proxy in TRUSTED_PROXIES:
    env.checked("TRUSTED_PROXIES", _proxy, why_no_network)
DEBUG = False

# --- apps --------------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "pgtrigger",  # before the apps whose models it watches
    "pghistory",
    "gardenos",
    "crm",
    "ai_agents",
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "allauth",
    "allauth.account",
    "channels",
    "csp",
    "django_filters",
    "django_htmx",
    "django_prometheus",
    "django_q",
    "drf_spectacular",
    "rest_framework",
]
MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "gardenos.health.HealthMiddleware",
    "crm.api.request_ids.RequestIdMiddleware",
    "crm.api.problems.ApiProblemMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "crm.web.acting.ActingMiddleware",
    "crm.web.base.PersonalMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]
PGHISTORY_FOREIGN_KEY_FIELD = pghistory.ForeignKey(db_index=False)  # read by record only (ADR 0015)
ROOT_URLCONF = "gardenos.urls"
WSGI_APPLICATION = "gardenos.wsgi.application"
ASGI_APPLICATION = "gardenos.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "crm.web.base.frame",
            ]
        },
    }
]

# --- people ------------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "crm.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
ACCOUNT_ADAPTER = "gardenos.accounts.InvitedOnlyAdapter"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"
# Ten wrong passwords close an account, not the office it shares an address with.
ACCOUNT_RATE_LIMITS = {"login_failed": "100/15m/ip,10/15m/key"}
PASSWORD_RESET_TIMEOUT = int(timedelta(hours=1).total_seconds())
SESSION_COOKIE_AGE = int(timedelta(hours=24).total_seconds())
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = IS_HTTPS
CSRF_TRUSTED_ORIGINS = [SITE_URL]
CSRF_FAILURE_VIEW = "crm.web.base.csrf_failure"

# --- security headers --------------------------------------------------------------------------------------
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_SSL_REDIRECT = False  # the ingress redirects; health probes speak plain HTTP
SECURE_HSTS_SECONDS = 31_536_000 if IS_HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = IS_HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    # django-unfold evaluates Alpine expressions, which needs eval: the admin is left out (ADR 0010).
    "EXCLUDE_URL_PREFIXES": ["/admin/"],
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "connect-src": ["'self'"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    },
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 2_621_440
DATA_UPLOAD_MAX_NUMBER_FIELDS = 1_000

# --- caches, live, queue -----------------------------------------------------------------------------------
_REDIS = ("redis", "rediss", "valkey", "valkeys")
CACHE_URL = env.url("CACHE_URL", schemes=_REDIS, secret=True).replace("valkey", "redis", 1)
CACHES = {
    "default": (
        {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": CACHE_URL}
        if CACHE_URL
        else {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "gardenos_cache"}
    )
}
CHANNEL_LAYER_URL = env.url("CHANNEL_LAYER_URL", schemes=_REDIS, secret=True).replace("valkey", "redis", 1)
CHANNEL_LAYERS = {
    "default": (
        {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer", "CONFIG": {"hosts": [CHANNEL_LAYER_URL]}}
        if CHANNEL_LAYER_URL
        else {"BACKEND": "crm.live.layer.PostgresChannelLayer"}
    )
}
_CLUSTER = {  # reasons: docs/adr/0005
    "orm": "default",
    "broker_class": "crm.broker.Rows",
    "queue_limit": 1,
    "bulk": 1,
    "ack_failures": True,
    "max_attempts": 3,
    "save_limit": -1,
    "recycle": 100,
    "catch_up": False,
    "poll": 0.2,
    "label": "Queue",
    "workers": 2,
    "timeout": 120,
    "retry": 400,
}
Q_CLUSTER = {"name": "default", **_CLUSTER, "ALT_CLUSTERS": {"ai": _CLUSTER, "default": _CLUSTER}}
QUEUE_BEAT_S = env.number("QUEUE_BEAT_S", 10, least=0.5, most=300)
QUEUE_STALE_S = env.number("QUEUE_STALE_S", 40, least=2, most=3_600)
if QUEUE_STALE_S < 3 * QUEUE_BEAT_S:
    env.refuse("QUEUE_STALE_S", "must be at least three times QUEUE_BEAT_S")

# --- files -------------------------------------------------------------------------------------------------
STATIC_URL = env.text("STATIC_URL", "/static/")
if not (STATIC_URL.startswith(("/", "https://", "http://")) and STATIC_URL.endswith("/")):
    env.refuse("STATIC_URL", "must start with / or https:// and end with /")
STATIC_ROOT = GARDENOS_DATA_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
STORAGE_URL = env.url("STORAGE_URL", schemes=("s3", "file"), secret=True)
MEDIA_ROOT = GARDENOS_DATA_DIR / "files"
ERASURE_LEDGER = Path(env.text("ERASURE_LEDGER", str(GARDENOS_DATA_DIR / "erasures.jsonl")))
RETENTION_DISQUALIFIED_DAYS = env.integer("RETENTION_DISQUALIFIED_DAYS", 0, least=0, most=36_500)  # 0: kept
FILE_UPLOAD_PERMISSIONS = 0o600

# --- mail --------------------------------------------------------------------------------------------------
EMAIL_URL = env.url("EMAIL_URL", schemes=("smtp", "smtps", "smtp+tls"), secret=True)
globals().update(mail_settings(env, EMAIL_URL))
DEFAULT_FROM_EMAIL = env.checked(
    "DEFAULT_FROM_EMAIL", env.text("DEFAULT_FROM_EMAIL", "GardenOS <gardenos@localhost>"), why_no_sender
)
MAIL_FOOTER = env.text("MAIL_FOOTER").strip()  # the organisation's lines under every signature
MAIL_CATCHER = (
    DATABASE_IS_EMBEDDED and not EMAIL_URL
)  # /dev/mail/: the embedded set-up keeps mail on this machine

# --- model provider ----------------------------------------------------------------------------------------
AI_PROVIDER = env.choice("AI_PROVIDER", "auto", ["auto", "deepinfra", "openai_compatible", "scripted", "off"])
AI_MODEL = env.text("AI_MODEL", "deepseek-ai/DeepSeek-V3-0324")
AI_FALLBACK_MODELS = env.items("AI_FALLBACK_MODELS", "deepseek-ai/DeepSeek-V3.2")
AI_DAILY_BUDGET_USD = env.number("AI_DAILY_BUDGET_USD", 5, least=0, most=100_000)
OPENAI_BASE_URL = env.url("OPENAI_BASE_URL", schemes=("http", "https"))
OPENAI_API_KEY = env.text("OPENAI_API_KEY", secret=True)
DEEPINFRA_API_KEY = env.text("DEEPINFRA_API_KEY", secret=True)
SCRIPTED_LLM_URL = env.url(
    "SCRIPTED_LLM_URL", noted_address(GARDENOS_DATA_DIR, SCRIPTED_LLM), schemes=("http",)
)
if AI_PROVIDER == "deepinfra" and not DEEPINFRA_API_KEY:
    env.refuse("DEEPINFRA_API_KEY", "is required with AI_PROVIDER=deepinfra")
if AI_PROVIDER == "openai_compatible" and not (OPENAI_BASE_URL and OPENAI_API_KEY):
    env.refuse(
        "OPENAI_BASE_URL" if OPENAI_API_KEY else "OPENAI_API_KEY",
        "is required with AI_PROVIDER=openai_compatible",
    )

# --- API ---------------------------------------------------------------------------------------------------
API_RATE_PER_MINUTE = env.integer("API_RATE_PER_MINUTE", 600, least=1, most=1_000_000)  # a token or user
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "crm.api.authentication.TokenAuthentication",
        "crm.api.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["crm.api.strict_json.OrjsonRenderer"],
    "DEFAULT_PARSER_CLASSES": ["crm.api.strict_json.StrictJSONParser"],
    "DEFAULT_PAGINATION_CLASS": "crm.api.paging.KeysetPagination",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_METADATA_CLASS": None,
    "EXCEPTION_HANDLER": "crm.api.problems.problem_handler",
    "URL_FORMAT_OVERRIDE": None,  # ?format= would be an unchecked parameter of every address
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "GardenOS API",
    "VERSION": "1",
    "OAS_VERSION": "3.1.1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "LeadKind": "crm.models.LeadKind",
        "LeadStatus": "crm.models.LeadStatus",
        "NextActionKind": "crm.models.NextActionKind",
        "Outcome": "crm.models.Outcome",
        "ScoreKind": "crm.models.ScoreKind",
        "ScoreSource": "crm.models.ScoreSource",
        "CallStatus": "ai_agents.models.CallStatus",
        "ScoreBand": "crm.models.Band",
        "LeadBand": ["hot", "warm", "cool", "none"],
        "FollowUpState": "crm.models.FollowUpState",
        "MessageState": "crm.models.MessageState",
        "ImportState": "crm.models.ImportState",
        "ImportPolicy": "crm.models.ImportPolicy",
        "JobState": "crm.models.JobState",
        "RejectReason": "crm.actions.follow_ups.RejectReason",
        "Verdict": "crm.models.Verdict",
    },
}

# --- time, language, logs ----------------------------------------------------------------------------------
USE_TZ = True
TIME_ZONE = env.checked("TIME_ZONE", env.text("TIME_ZONE", "UTC"), why_no_time_zone)
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English")]
LOCALE_PATHS = [BASE_DIR / "locale"]
LOG_FORMAT = env.choice("LOG_FORMAT", "text", ["text", "json"])
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "text": {"()": "gardenos.logs.TextFormatter"},
        "json": {"()": "gardenos.logs.JSONFormatter"},
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {
        "django.request": {"level": "ERROR"},
        "django-q": {"level": "WARNING"},  # a line for every heartbeat says nothing
        "httpx2": {"level": "WARNING"},
        "openai": {"level": "WARNING"},
        "aiohttp": {"level": "WARNING"},
    },
}
WEB_WORKERS = env.integer("WEB_WORKERS", 1, least=1, most=64)
WEB_THREADS = 8
UNFOLD = {"SITE_TITLE": "GardenOS", "SITE_HEADER": "GardenOS", "SITE_URL": "/", "SHOW_HISTORY": True}
PROMETHEUS_EXPORT_MIGRATIONS = False
SILENCED_SYSTEM_CHECKS = [
    "auth.W004",  # the e-mail is unique in lower case: crm_user_email_unique
    "security.W008",  # the ingress redirects to HTTPS, see SECURE_SSL_REDIRECT
]
if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
    Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]).mkdir(parents=True, exist_ok=True)
