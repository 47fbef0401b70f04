from .caffe_files import caffe as caffe
from .npz_files import npz as npz
from .pytorch_files import pytorch as pytorch
