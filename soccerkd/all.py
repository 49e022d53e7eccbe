"What a notebook needs: `from soccerkd.all import *`, fastai included"
from fastai.vision.all import *

from soccerkd.core import *
from soccerkd.video.sampling import *
from soccerkd.video.reader import *
from soccerkd.video.scan import *
from soccerkd.data.world import *
from soccerkd.data.splits import *
from soccerkd.data.transforms import *
from soccerkd.data.clips import *
from soccerkd.models.clipnet import *
from soccerkd.models.tam import *
from soccerkd.models.image import *
from soccerkd.models.jointnet import *
from soccerkd.models.weights import *
from soccerkd.models.video import *
from soccerkd.models.zoo import *
from soccerkd.distill.losses import *
from soccerkd.distill.callback import *
from soccerkd.distill.learner import *
from soccerkd.distill.runs import *
from soccerkd.evaluate.metrics import *
from soccerkd.evaluate.efficiency import *
from soccerkd.evaluate.figures import *
from soccerkd.evaluate.report import *
from soccerkd.evaluate.recipe import *
from soccerkd.evaluate.html import *
