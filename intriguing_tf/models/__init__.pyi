from .mnist import ae400_10 as ae400_10
from .mnist import conv as conv
from .mnist import fc10 as fc10
from .mnist import fc100_100_10 as fc100_100_10
from .mnist import fc123_456_10 as fc123_456_10
from .mnist import fc200_200_10 as fc200_200_10
