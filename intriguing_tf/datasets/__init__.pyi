from .mnist_data import fingerprint as fingerprint
from .mnist_data import mnist as mnist
from .mnist_data import mnist_sample as mnist_sample
