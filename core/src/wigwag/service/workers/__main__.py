"""A worker: ``python -m wigwag.service.workers SPEC``, started by the supervisor alone."""

from wigwag.service.workers.worker import main

main()
