"""Django's WSGI application: every HTTP request, behind the dispatcher of gardenos/asgi.py."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gardenos.settings")
application = get_wsgi_application()
