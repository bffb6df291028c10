__version__ = "0.1.0"

import serial

serial.protocol_handler_packages.append(__name__)  # serial_for_url('emulated://...') finds protocol_emulated here
