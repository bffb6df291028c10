__version__ = "0.1.0"

import sys
import serial
from .extras import ExtrasFinder

serial.protocol_handler_packages.append(__name__)  # serial_for_url('emulated://...') finds protocol_emulated here
sys.meta_path.append(ExtrasFinder)  # what an extra brings and is missing, is named with its pip command
