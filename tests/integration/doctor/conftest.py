from tests.helpers.minio_server import minio_server as minio_server
from tests.unit.doctor.conftest import api as api
from tests.unit.doctor.conftest import doctor as doctor
